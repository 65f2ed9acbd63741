import type { Event } from './generated/types.gen.js';
import { ShardPositions } from './shard-positions.js';

const about = { at: '2026-01-01T00:00:00.000Z', details: '' };

function moved(eventId: string): Event {
  const shard = Number(eventId.split('-')[0]);
  return { type: 'shard.moved', event_id: eventId, at: about.at, shard, epoch: 1, member: 'm' };
}

function gap(shard: number, fromMs: number): Event {
  const times = { from: new Date(fromMs).toISOString(), until: new Date(fromMs + 5000).toISOString() };
  return { type: 'gap', ...about, shard, streams: ['state'], ...times };
}

function passed(events: readonly Event[]): string[] {
  const positions = new ShardPositions();
  const kept = events.filter((event) => positions.advance(event));
  return kept.map((event) => ('event_id' in event ? event.event_id : event.type));
}

it('ShardPositions drops repeats and older events of a shard, and nothing of another shard', () => {
  const events = ['0-2000-0', '0-2000-1', '10-1000-0', '0-1999-7', '0-2000-1', '0-2000-10', '0-2000-2', '0-2001-0'];
  expect(passed(events.map(moved))).toEqual(['0-2000-0', '0-2000-1', '10-1000-0', '0-2000-10', '0-2001-0']);
});

it('ShardPositions drops each of 20,000 repeats', () => {
  const events = Array.from({ length: 20_000 }, (_, i) => moved(`3-1000-${i}`));
  expect(passed([...events, ...events])).toHaveLength(events.length);
});

it('ShardPositions accepts smaller positions after a gap that begins before the last event', () => {
  const events = [moved('0-9000-0'), moved('1-9000-0'), gap(0, 4000), moved('0-4000-1'), moved('1-4000-1')];
  expect(passed(events)).toEqual(['0-9000-0', '1-9000-0', 'gap', '0-4000-1']);
});

it('ShardPositions still drops repeats after the gap of trimmed events', () => {
  const events = [moved('0-9000-4'), gap(0, 9000), moved('0-8000-0'), moved('0-9000-4'), moved('0-9000-5')];
  expect(passed(events)).toEqual(['0-9000-4', 'gap', '0-9000-5']);
});

it('ShardPositions accepts any position after a gap that has no beginning', () => {
  const older = { ...gap(0, 0), from: undefined } as unknown as Event;
  expect(passed([moved('0-9000-0'), older, moved('0-4000-0')])).toEqual(['0-9000-0', 'gap', '0-4000-0']);
});

it('ShardPositions accepts each event whose id it cannot parse', () => {
  expect(passed([moved('0-x'), moved('0-x')])).toEqual(['0-x', '0-x']);
});
