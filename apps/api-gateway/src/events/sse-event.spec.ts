import { EVENT_STREAM_NAMES, type EventGap, type EventStreamName, type EventType } from '@app/registry';
import { gapFor } from './sse-event.js';

const GAP: EventGap = { shard: 1, streams: [...EVENT_STREAM_NAMES], from: 1, until: 2 };

function missedBy(...types: EventType[]): EventStreamName[] | undefined {
  return gapFor({ types: types.length === 0 ? undefined : new Set(types), clientId: undefined }, GAP)?.streams;
}

describe('a gap', () => {
  it('leaves out the streams of which the subscriber follows no type', () => {
    expect(missedBy()).toEqual(['state', 'refusals']);
    expect(missedBy('message.status')).toEqual(['state', 'refusals']);
    expect(missedBy('message.progress')).toEqual(['state', 'talk', 'refusals']);
    expect(missedBy('dead_letter.added')).toEqual(['state', 'refusals', 'dead-letters']);
  });

  it('is none for a subscriber that misses nothing', () => {
    expect(gapFor({ types: undefined, clientId: undefined }, { ...GAP, streams: ['dead-letters'] })).toBeUndefined();
    expect(gapFor({ types: undefined, clientId: 'c', shard: 2 }, GAP)).toBeUndefined();
  });
});
