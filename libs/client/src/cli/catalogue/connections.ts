import {
  CURSOR,
  former,
  ID_OF_CLIENT,
  LIMIT,
  type CommandSpec,
  type OptionSpec,
  type RemoteCommand,
} from '../command.js';
import { CONNECTION_STATES, CONNECTION_TYPES, FACTS, MESSAGE_STATUSES, OFFLINE_REASONS } from '../values.js';

const FILTERS: readonly OptionSpec[] = [
  { flags: '--state <STATE>', about: 'only those of a state', choices: CONNECTION_STATES },
  { flags: '--type <TYPE>', about: 'only those of a type', choices: CONNECTION_TYPES },
  { flags: '--prefix <TEXT>', about: 'only those whose client id begins with this' },
  {
    flags: '--fact <NAME=VALUE>',
    about: `only those with this fact; may be given several times; NAME is ${FACTS.join(', ')}`,
    repeatable: true,
  },
  { flags: '--offline-reason <REASON>', about: 'only those that are offline for a reason', choices: OFFLINE_REASONS },
  { flags: '--held', about: 'only those with held messages' },
  { flags: '--refused', about: 'only those whose handshakes are refused' },
];

const WATCH: OptionSpec = { flags: '-w, --watch', about: 'read the list again after each change of a connection' };
const UNTIL: OptionSpec = {
  flags: '--reconnect-after <WHEN>',
  about: 'until when its handshakes are refused: a duration such as 30s or PT30S, a timestamp, or never',
};

const list: RemoteCommand = {
  path: 'connections list',
  summary: 'List the connections that match all options',
  details:
    'With --watch, events drive it: connection.online, connection.updated and connection.offline, and with --held ' +
    'message.status. After events the list is read again, at most once a second. Numbers of held messages change without an ' +
    'event of the connection: they are as of the last read.',
  options: [...FILTERS, LIMIT, CURSOR, WATCH],
  examples: [
    'connections list --state online --limit 20',
    'connections list --fact fqdn=device-0001.example.com',
    'connections list --prefix rack-7- --held --watch',
  ],
  operations: ['listConnections'],
  load: async () => (await import('../commands/connections.js')).listConnections,
};

const disconnect: RemoteCommand = {
  path: 'connections disconnect',
  summary: 'Force a client off, and refuse its handshakes for a time',
  arguments: [ID_OF_CLIENT],
  options: [{ ...UNTIL, required: true }],
  examples: [
    'connections disconnect device-0001 --reconnect-after 5m',
    'connections disconnect device-0001 --reconnect-after never',
  ],
  operations: ['forceDisconnect'],
  load: async () => (await import('../commands/connections.js')).forceDisconnect,
};

export const CONNECTIONS: readonly CommandSpec[] = [
  list,
  {
    path: 'connections get',
    summary: 'Show one connection',
    arguments: [ID_OF_CLIENT],
    examples: ['connections get device-0001', 'connections get device-0001 --output yaml'],
    operations: ['getConnection'],
    load: async () => (await import('../commands/connections.js')).getConnection,
  },
  {
    path: 'connections summary',
    summary: 'Count connections by state and type',
    examples: ['connections summary'],
    operations: ['summarizeConnections'],
    load: async () => (await import('../commands/connections.js')).summarizeConnections,
  },
  {
    path: 'connections messages',
    summary: 'List the messages of one client',
    details: 'With --watch, the events message.status of the client drive it: after them the list is read again.',
    arguments: [ID_OF_CLIENT],
    options: [
      { flags: '--status <STATUS>', about: 'only those of a status', choices: MESSAGE_STATUSES },
      ...[LIMIT, CURSOR],
      { flags: '-w, --watch', about: 'read the list again after each change of a message' },
    ],
    examples: ['connections messages device-0001', 'connections messages device-0001 --status failed'],
    operations: ['listMessages'],
    load: async () => (await import('../commands/connections.js')).messagesOfConnection,
  },
  {
    path: 'connections verify',
    summary: 'Compare a connection with what the broker retains, and correct it',
    arguments: [ID_OF_CLIENT],
    examples: ['connections verify device-0001'],
    operations: ['verifyConnection'],
    load: async () => (await import('../commands/connections.js')).verifyConnection,
  },
  disconnect,
  {
    path: 'connections lift',
    summary: 'Lift the refusal of a client, so that it may connect again',
    details: 'A client that waits, as it was asked to, comes back at that time, or when it is started again.',
    arguments: [ID_OF_CLIENT],
    examples: ['connections lift device-0001'],
    operations: ['liftRefusal'],
    load: async () => (await import('../commands/connections.js')).liftRefusal,
  },
  {
    path: 'connections forget',
    summary: 'Remove an offline connection from the registry',
    arguments: [ID_OF_CLIENT],
    examples: ['connections forget device-0001'],
    operations: ['forgetConnection'],
    load: async () => (await import('../commands/connections.js')).forgetConnection,
  },
  {
    path: 'connections show',
    summary: 'Show one connection, or list those that match all options',
    arguments: [{ ...ID_OF_CLIENT, optional: true }],
    options: list.options ?? [],
    examples: ['connections show', 'connections show device-0001'],
    load: async () => (await import('../commands/connections.js')).connections,
    isDefault: true,
    former: true,
  },
  former('disconnect', disconnect, {
    options: [UNTIL, { flags: '--lift', about: 'lift the refusal instead' }],
    load: async () => (await import('../commands/connections.js')).disconnect,
  }),
];
