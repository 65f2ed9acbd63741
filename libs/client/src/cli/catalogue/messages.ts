import {
  CURSOR,
  former,
  ID_OF_CLIENT,
  ID_OF_MESSAGE,
  LIMIT,
  type ArgumentSpec,
  type CommandSpec,
  type OptionSpec,
  type RemoteCommand,
} from '../command.js';
import { MESSAGE_STATUSES, WHEN_OFFLINE } from '../values.js';

const DIRECTIVE: ArgumentSpec = { name: 'DIRECTIVE', about: 'says what the client has to do with the payload' };

const PAYLOAD: readonly OptionSpec[] = [
  { flags: '--payload <JSON>', about: 'any JSON value; a string needs double quotes around it' },
  { flags: '--payload-file <FILE>', about: 'a file with the payload; - for stdin' },
];
const KEY: OptionSpec = {
  flags: '--idempotency-key <KEY>',
  about: 'with the same key, a repeat sends nothing and gets the first answer',
};

const send: RemoteCommand = {
  path: 'messages send',
  summary: 'Send a message to a client',
  details:
    'With --wait it waits until the message is sent, failed, expired or cancelled, and with --response-timeout until it is ' +
    'answered or unanswered.',
  arguments: [ID_OF_CLIENT, DIRECTIVE],
  options: [
    ...PAYLOAD,
    { flags: '--ttl <DURATION>', about: 'expires if it was not sent by then, such as 10m; 1h by default' },
    {
      flags: '--when-offline <WHAT>',
      about: 'what to do if the client is offline; hold by default',
      choices: WHEN_OFFLINE,
    },
    { flags: '--response-timeout <DURATION>', about: 'how long to await an answer of the client, such as 30s' },
    KEY,
    { flags: '--wait', about: 'wait until the message has ended' },
    { flags: '--timeout <DURATION>', about: 'how long to --wait at most, such as 5m; until it has ended by default' },
  ],
  examples: [
    `messages send device-0001 demo:work --payload '{"steps": 2}'`,
    'messages send device-0001 demo:ping --response-timeout 30s',
    'messages send device-0001 demo:ping --wait --timeout 1m',
  ],
  operations: ['sendMessage'],
  load: async () => (await import('../commands/send.js')).send,
};

const call: RemoteCommand = {
  path: 'messages call',
  summary: 'Send a message, and print what the client answers',
  details: 'On a terminal it shows the progress of the client as a bar.',
  arguments: [ID_OF_CLIENT, DIRECTIVE],
  options: [
    ...PAYLOAD,
    { flags: '--timeout <DURATION>', about: 'how long to wait for the answer; 30s by default' },
    KEY,
  ],
  examples: [`messages call device-0001 demo:work --payload '{"steps": 5}'`],
  operations: ['sendMessage'],
  load: async () => (await import('../commands/call.js')).callClient,
};

export const MESSAGES: readonly CommandSpec[] = [
  {
    path: 'messages list',
    summary: 'List messages of all clients',
    details:
      'With --watch, the events message.status drive it: after them the list is read again, at most once a second.',
    options: [
      { flags: '--status <STATUS>', about: 'only those of a status', choices: MESSAGE_STATUSES },
      { flags: '--client-id <CLIENT_ID>', about: 'only those of a client' },
      {
        flags: '--since <TIME>',
        about: 'only those that were accepted since: 5m for five minutes ago, or a timestamp',
      },
      ...[LIMIT, CURSOR],
      { flags: '-w, --watch', about: 'read the list again after each change of a message' },
    ],
    examples: ['messages list --status held', 'messages list --since 1h30m --client-id device-0001'],
    operations: ['searchMessages'],
    load: async () => (await import('../commands/messages.js')).listMessages,
    isDefault: true,
  },
  {
    path: 'messages get',
    summary: 'Show a message, with its history and its answer',
    arguments: [ID_OF_MESSAGE],
    options: [{ flags: '--wait <DURATION>', about: 'wait until it has ended, 60s at most' }],
    examples: [
      'messages get 019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90',
      'messages get 019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90 --wait 30s',
    ],
    operations: ['readMessage'],
    load: async () => (await import('../commands/messages.js')).getMessage,
  },
  send,
  {
    path: 'messages send-many',
    summary: 'Send the messages of a file, to any clients',
    details:
      'FILE has an array of messages, or one in each line, as the operation sendMessages takes them, such as\n' +
      '{"client_id": "device-0001", "directive": "demo:ping"}\n' +
      'Each is accepted or refused by itself; the exit code is 1 if one was refused.',
    arguments: [{ name: 'FILE', about: 'a file with messages as JSON; - for stdin' }],
    examples: ['messages send-many messages.json', 'messages send-many - --output json'],
    operations: ['sendMessages'],
    load: async () => (await import('../commands/send.js')).sendMany,
  },
  call,
  {
    path: 'messages wait',
    summary: 'Wait until a message has ended',
    arguments: [ID_OF_MESSAGE],
    options: [
      { flags: '--timeout <DURATION>', about: 'how long to wait at most, such as 5m; until it has ended by default' },
    ],
    examples: ['messages wait 019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90'],
    operations: ['readMessage', 'streamEvents'],
    load: async () => (await import('../commands/messages.js')).waitForEnd,
  },
  {
    path: 'messages cancel',
    summary: 'Cancel messages that are queued or held',
    arguments: [{ ...ID_OF_MESSAGE, variadic: true }],
    examples: ['messages cancel 019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90'],
    operations: ['cancelMessage'],
    load: async () => (await import('../commands/messages.js')).cancelMessages,
  },
  former('send', send),
  former('call', call),
];
