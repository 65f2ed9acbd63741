/**
 * Format 2 keeps the sizes and the last id of a shard's streams in a hash. The entries of 0.1.0 are kept: their ids are
 * times of Redis' clock, so new ids follow the newest of them.
 */
import { commands } from '../commands.js';
import { eventStreams } from '../events/event-log.js';
import type { MigrationStep } from './migration-step.js';

const takeOverEvents = commands.load<{ log: string; streams: readonly string[] }, { names: readonly string[] }, string>(
  'take-over-events',
);

export const STREAMS_OF_EVENTS: MigrationStep = {
  to: 2,
  what: 'streams of events and dead letters',
  run: async (redis, keys, { index }) => {
    const streams = eventStreams(keys, index);
    await takeOverEvents.run(
      redis,
      { log: keys.log(index), streams: streams.map(({ key }) => key) },
      { names: streams.map(({ name }) => name) },
    );
  },
};
