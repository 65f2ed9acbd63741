import { EventsQuery } from './events-query.dto.js';

describe('the types of a query', () => {
  it.each([
    { how: 'with commas between them', types: 'connection.online,sweep.*' },
    { how: 'as a parameter for each', types: ['connection.online', 'sweep.*'] },
    { how: 'in both ways', types: ['connection.online,sweep.started', 'sweep.ended'] },
  ])('may be named $how', ({ types }) => {
    const named = EventsQuery.parse({ types }).types;
    expect([...(named ?? [])].toSorted()).toEqual(['connection.online', 'sweep.ended', 'sweep.started']);
  });

  it('may be left out', () => {
    expect(EventsQuery.parse({}).types).toBeUndefined();
  });

  it.each(['', 'unknown', ['sweep.*', 'unknown']])('must be known: not %j', (types) => {
    const [issue] = EventsQuery.safeParse({ types }).error?.issues ?? [];
    expect(issue?.path).toEqual(['types']);
    expect(issue?.message).toContain('must name events');
  });
});
