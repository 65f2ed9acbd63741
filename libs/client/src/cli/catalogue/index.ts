/** All commands. It imports none of their code: `load` of each does when the command is run. */
import type { CommandSpec, GroupSpec, OptionSpec } from '../command.js';
import { FORMATS } from '../output.js';
import { CLUSTER, EVENTS } from './cluster.js';
import { CONNECTIONS } from './connections.js';
import { FIGURES, KEYS, PROFILES, OTHERS } from './local.js';
import { MESSAGES } from './messages.js';

export const GROUPS: readonly GroupSpec[] = [
  { name: 'connections', summary: 'Clients and whether they are online' },
  { name: 'messages', summary: 'Messages to clients, and their answers' },
  { name: 'events', summary: 'What happens, as it happens' },
  { name: 'cluster', summary: 'The service itself: its processes, shards, sweeps and dead letters' },
  { name: 'keys', summary: 'API keys of a gateway on this machine; in the repository of the service only' },
  { name: 'profiles', summary: 'Addresses and keys that login has stored' },
];

export const COMMANDS: readonly CommandSpec[] = [
  ...[...CONNECTIONS, ...MESSAGES, ...EVENTS, ...CLUSTER, ...FIGURES],
  ...[...KEYS, ...PROFILES, ...OTHERS],
];

/** Options of all commands. */
export const EVERYWHERE: readonly OptionSpec[] = [
  { flags: '--url <URL>', about: 'address of the gateway; or CLOUD_CONNECTOR_URL; http://127.0.0.1:3000 by default' },
  {
    flags: '--token-file <FILE>',
    about: 'a file with a key or token; or CLOUD_CONNECTOR_TOKEN_FILE, or CLOUD_CONNECTOR_TOKEN with the token itself',
  },
  { flags: '--profile <NAME>', about: 'address and key that login has stored; or CLOUD_CONNECTOR_PROFILE' },
  { flags: '-o, --output <FORMAT>', about: 'how results are written: json as one object a line', choices: FORMATS },
  { flags: '--json', about: 'the same as --output json' },
];
