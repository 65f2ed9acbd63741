import { CURSOR, former, LIMIT, type CommandSpec, type OptionSpec, type RemoteCommand } from '../command.js';
import { EVENT_TYPES } from '../values.js';

const WAIT: OptionSpec = { flags: '--wait', about: 'wait until the sweep has ended, and show it' };

const events: RemoteCommand = {
  path: 'events watch',
  summary: 'Show events as they happen, until Ctrl-C',
  options: [
    {
      flags: '--types <TYPE,TYPE>',
      about: `only events of these types: ${EVENT_TYPES.join(', ')}; or of a kind, such as message.*`,
    },
    { flags: '--client-id <CLIENT_ID>', about: 'only events of a client' },
    {
      flags: '--since <WHEN>',
      about: 'begin with the events since 5m ago or since a timestamp, or after an event: ID is what id= shows',
    },
  ],
  examples: [
    'events watch --types connection.online,connection.offline',
    'events watch --client-id device-0001 --since 1h',
    'events watch --since 2026-11-30T06:00:00Z --output json',
  ],
  operations: ['streamEvents'],
  load: async () => (await import('../commands/events.js')).watchEvents,
};

const sweep: RemoteCommand = {
  path: 'cluster sweep',
  summary: 'Compare the whole registry with the broker',
  options: [WAIT],
  examples: ['cluster sweep', 'cluster sweep --wait'],
  operations: ['startSweep', 'getLatestSweep'],
  load: async () => (await import('../commands/sweeps.js')).startSweep,
};

export const EVENTS: readonly CommandSpec[] = [events, former('watch', events)];

export const CLUSTER: readonly CommandSpec[] = [
  {
    path: 'cluster show',
    summary: 'Show ingesters, dispatchers, gateways and the broker',
    details:
      'An ingester is "troubled" if it does not reach the broker or Redis, or did not a moment ago, and "unfit" if that lasts and another one ' +
      'does its work.\nA dispatcher "takes no shards" if it does not reach the broker, or stops.\n' +
      'With --watch, the events member.joined, member.left, shard.moved and sweep.ended drive it. No event says how many ' +
      'messages wait: it is read again every 5 seconds as well.',
    options: [
      { flags: '--shards', about: 'show each shard, too' },
      { flags: '-w, --watch', about: 'read it again after each change, and every 5 seconds' },
    ],
    examples: ['cluster show', 'cluster show --shards', 'cluster show --watch'],
    operations: ['getCluster'],
    load: async () => (await import('../commands/cluster.js')).showCluster,
    isDefault: true,
  },
  sweep,
  {
    path: 'cluster sweep-status',
    summary: 'Show a sweep: its progress, and what it has corrected',
    arguments: [{ name: 'SWEEP_ID', about: 'id of the sweep; the last one without it', optional: true }],
    examples: ['cluster sweep-status', 'cluster sweep-status 0b7a4f0e-54f5-4b9e-9d0c-3a1a2d5e6c71'],
    operations: ['getSweep', 'getLatestSweep'],
    load: async () => (await import('../commands/sweeps.js')).sweepStatus,
  },
  {
    path: 'cluster dead-letters',
    summary: 'List messages of clients that could not be processed, and why',
    details: 'With --watch, the events dead_letter.added drive it: after them the list is read again.',
    options: [LIMIT, CURSOR, { flags: '-w, --watch', about: 'read the list again after each dead letter' }],
    examples: ['cluster dead-letters', 'cluster dead-letters --limit 20 --watch'],
    operations: ['listDeadLetters'],
    load: async () => (await import('../commands/cluster.js')).listDeadLetters,
  },
  former('sweep', sweep, {
    options: [WAIT, { flags: '--latest', about: 'show the last sweep' }],
    load: async () => (await import('../commands/sweeps.js')).sweep,
  }),
];
