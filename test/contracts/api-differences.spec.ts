import { apiDifferences } from '../../scripts/api-differences.mjs';

const document = (): { paths: Record<string, Record<string, object>>; components: object } => ({
  paths: {
    '/v1/things': {
      get: {
        summary: 'Lists things',
        parameters: [
          { in: 'query', name: 'limit', description: 'how many', schema: { type: 'integer', maximum: 1000 } },
          { in: 'query', name: 'state', schema: { enum: ['online', 'offline', null] } },
        ],
      },
    },
  },
  components: {
    schemas: {
      Thing: {
        required: ['description', 'id'],
        properties: { id: { type: 'string', examples: ['a'] }, description: { type: 'string' } },
      },
    },
  },
});

/** The differences after the text has been replaced in the document. */
function after(...replacements: [string, string][]): string[] {
  const before = JSON.stringify(document());
  const text = replacements.reduce((all, [from, to]) => {
    expect(all).toContain(from);
    return all.replace(from, to);
  }, before);
  return apiDifferences(JSON.parse(before), JSON.parse(text));
}

describe('apiDifferences', () => {
  it('finds none in other descriptions, summaries and examples', () => {
    expect(after(['how many', 'the most'], ['Lists things', 'All things'], ['["a"]', '["b"]'])).toEqual([]);
    expect(after(['"description":"how many",', ''])).toEqual([]);
  });

  it('finds none in another order of required names, enumerated values and parameters', () => {
    expect(
      after(['["description","id"]', '["id","description"]'], ['"online","offline"', '"offline","online"']),
    ).toEqual([]);
    const turned = document();
    const get = turned.paths['/v1/things']?.['get'] as { parameters: object[] };
    get.parameters.reverse();
    expect(apiDifferences(document(), turned)).toEqual([]);
  });

  it('finds a changed limit, a lost value and a parameter that moved', () => {
    const parameters = '/paths/~1v1~1things/get/parameters';
    expect(after(['1000', '999'])).toEqual([`${parameters}/query limit/schema/maximum: was 1000, is 999`]);
    expect(after([',"offline"', ''])).toEqual([`${parameters}/query state/schema/enum/"offline": removed: "offline"`]);
    expect(after(['"in":"query","name":"state"', '"in":"header","name":"state"'])).toHaveLength(10);
  });

  it('takes a member that is called "description" for a member', () => {
    const member = '/components/schemas/Thing/properties/description/type';
    expect(after([',"description":{"type":"string"}', ''])).toEqual([`${member}: removed: "string"`]);
  });
});
