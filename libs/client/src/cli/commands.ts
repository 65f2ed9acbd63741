/** All commands, with the usage, the options and the function of each. */
import { callClient } from './call-command.js';
import { cluster, sweep } from './cluster-commands.js';
import type { Options } from './command-line.js';
import { ROWS, connections, disconnect } from './connection-commands.js';
import type { Context } from './context.js';
import { UsageError } from './failures.js';
import { send, watch } from './message-commands.js';
import { messages } from './messages-command.js';
import { stats } from './stats-command.js';
import { whoami } from './whoami-command.js';

export interface Command {
  usage: string;
  does: string;
  options: Options;
  /** How many arguments the command takes at most. */
  arguments: number;
  /** Resolves with the exit code. */
  run(context: Context): Promise<number>;
}

const text = { type: 'string' } as const;
const texts = { type: 'string', multiple: true } as const;
const flag = { type: 'boolean' } as const;

export const COMMANDS: Readonly<Record<string, Command>> = {
  connections: {
    usage:
      'connections [CLIENT_ID] [--state online|offline] [--type host|proxy] [--prefix TEXT] [--fact NAME=VALUE]…\n' +
      '     [--offline-reason REASON] [--held] [--refused] [--limit N]',
    does: `shows one connection, or those that match all options: the first ${ROWS} in a table, all of them with --json`,
    options: {
      ...{ state: text, type: text, prefix: text, fact: texts, limit: text },
      ...{ 'offline-reason': text, held: flag, refused: flag },
    },
    arguments: 1,
    run: connections,
  },
  messages: {
    usage: 'messages [--status STATUS] [--client-id CLIENT_ID] [--since TIMESTAMP] [--limit N]',
    does: `shows stored messages of all clients, or of one: the first ${ROWS} in a table, all of them with --json`,
    options: { status: text, 'client-id': text, since: text, limit: text },
    arguments: 0,
    run: messages,
  },
  send: {
    usage:
      'send CLIENT_ID DIRECTIVE [--payload JSON | --payload-file FILE] [--ttl SECONDS] [--when-offline hold|reject]\n' +
      '     [--response-timeout SECONDS] [--idempotency-key KEY] [--wait] [--timeout SECONDS]',
    does:
      'sends a message; FILE may be - for stdin; with --response-timeout it awaits an answer; --wait waits until it is sent, failed,\n' +
      '    expired or cancelled, and if it awaits an answer, until it is answered or unanswered',
    options: {
      ...{ payload: text, 'payload-file': text, ttl: text, 'when-offline': text, 'idempotency-key': text },
      ...{ 'response-timeout': text, wait: flag, timeout: text },
    },
    arguments: 2,
    run: send,
  },
  call: {
    usage: 'call CLIENT_ID DIRECTIVE [--payload JSON | --payload-file FILE] [--timeout 30s] [--idempotency-key KEY]',
    does: 'sends a message, waits for the answer of the client, and prints its payload; shows progress as a bar on a terminal',
    options: { payload: text, 'payload-file': text, timeout: text, 'idempotency-key': text },
    arguments: 2,
    run: callClient,
  },
  watch: {
    usage: 'watch [--types TYPE,TYPE] [--client-id CLIENT_ID] [--since TIMESTAMP|EVENT_ID]',
    does:
      'shows events as they happen, until Ctrl-C; --since begins with those that are kept from a time on, such as 2026-11-30T06:00:00Z, or\n' +
      '    after an event: EVENT_ID is the `id` of an event that --json printed',
    options: { types: text, 'client-id': text, since: text },
    arguments: 0,
    run: watch,
  },
  disconnect: {
    usage: 'disconnect CLIENT_ID (--reconnect-after PT30S|TIMESTAMP|never | --lift)',
    does: 'forces a client off and refuses it until then; --lift lets it in again',
    options: { 'reconnect-after': text, lift: flag },
    arguments: 1,
    run: disconnect,
  },
  sweep: {
    usage: 'sweep [--wait | --latest]',
    does: 'compares the registry with the broker; --wait waits until that has ended, --latest shows the last sweep',
    options: { wait: flag, latest: flag },
    arguments: 0,
    run: sweep,
  },
  cluster: {
    usage: 'cluster [--shards]',
    does:
      'shows the ingesters, how many messages wait for them, the dispatchers and gateways, and what the broker grants; --shards\n' +
      '    also shows each shard',
    options: { shards: flag },
    arguments: 0,
    run: cluster,
  },
  stats: {
    usage: 'stats',
    does: 'shows how many connections and messages there are, what waits, and what happened in the last hour',
    options: {},
    arguments: 0,
    run: stats,
  },
  whoami: {
    usage: 'whoami',
    does: 'shows who you are for the service: the id of your key, its account and its scopes',
    options: {},
    arguments: 0,
    run: whoami,
  },
  'check-broker': {
    usage:
      'check-broker URL [--json] [--restart] [--username NAME] [--password-file FILE] [--ca-file FILE]\n' +
      '     [--cert-file FILE] [--key-file FILE]',
    does: 'finds out whether the service is right on an MQTT broker; in the repository of the service only',
    options: {
      ...{ restart: flag, username: text, 'password-file': text },
      ...{ 'ca-file': text, 'cert-file': text, 'key-file': text },
    },
    arguments: 1,
    run: notInThisPackage,
  },
};

/** The service has this command, because it has an MQTT library, and this package has none. @throws UsageError */
function notInThisPackage(): never {
  throw new UsageError(
    'check-broker is not in this package, which has no MQTT library. In the repository of the service: ' +
      'npm run build, then npm run cli -- check-broker URL',
  );
}
