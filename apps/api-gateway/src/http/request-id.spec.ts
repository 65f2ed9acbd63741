import fc from 'fast-check';
import { requestIdOf } from './request-id.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function idFor(given: string | string[] | undefined): string {
  return requestIdOf({ headers: given === undefined ? {} : { 'x-request-id': given } });
}

describe('requestIdOf', () => {
  it.each(['a', '3fb0c7be-89cb-4f19-84b7-94448f40f769', '!~', 'trace=1;span=2', 'x'.repeat(128)])(
    'returns the id %j of the caller',
    (given) => {
      expect(idFor(given)).toBe(given);
    },
  );

  it.each([
    ['no id', undefined],
    ['an empty id', ''],
    ['an id that is too long', 'x'.repeat(129)],
    ['an id with a space', 'a b'],
    ['an id with a line break, which could forge a log line', 'a\nb'],
    ['an id that ends in a line break', 'a\n'],
    ['an id with a control character', 'a\u007f'],
    ['an id outside ASCII', 'é'],
    ['several ids', ['a', 'b']],
  ])('mints an id if the caller sent %s', (_, given) => {
    expect(idFor(given)).toMatch(UUID);
  });

  it('mints a new id for each request', () => {
    expect(idFor(undefined)).not.toBe(idFor(undefined));
  });

  it('never returns an id that does not fit a header and a log line', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'grapheme', maxLength: 200 })), (given) => {
        const id = idFor(given);
        expect(id).toMatch(/^[!-~]{1,128}$/);
        expect(id === given || UUID.test(id)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
