import type { ConnectorEvent } from '@cloud-connector/client';
import { EMPTY_TAIL, KEPT, resumed, withEvents } from './tail';

const events = (from: number, count: number): ConnectorEvent[] =>
  Array.from({ length: count }, (_, i) => ({
    type: 'shard.moved',
    event_id: `1-${from + i}-0`,
    id: `${from + i}`,
    at: '2026-01-01T00:00:00.000Z',
    shard: 1,
    epoch: 1,
    member: 'm',
  }));
const ids = (list: readonly ConnectorEvent[]): string[] => list.map(({ id }) => id);

it('shows the newest events first, and so many at most', () => {
  const tail = withEvents(withEvents(EMPTY_TAIL, events(1, KEPT), false), events(KEPT + 1, 2), false);
  expect(ids(tail.shown.slice(0, 3))).toEqual([`${KEPT + 2}`, `${KEPT + 1}`, `${KEPT}`]);
  expect(tail.shown).toHaveLength(KEPT);
});

it('keeps what comes during a pause, counts what it drops, and shows it when it is resumed', () => {
  let tail = withEvents(EMPTY_TAIL, events(1, 1), false);
  tail = withEvents(tail, events(2, KEPT + 5), true);
  expect(ids(tail.shown)).toEqual(['1']);
  expect([tail.behind.length, tail.dropped]).toEqual([KEPT, 5]);
  tail = resumed(tail);
  expect(tail.shown[0]?.id).toBe(`${KEPT + 6}`);
  expect([tail.shown.length, tail.behind.length, tail.dropped]).toEqual([KEPT, 0, 0]);
});
