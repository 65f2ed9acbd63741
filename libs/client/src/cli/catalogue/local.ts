import type { ArgumentSpec, CommandSpec, OptionSpec } from '../command.js';
import { SCOPES } from '../values.js';

const KEY_FILE: OptionSpec = {
  flags: '--file <FILE>',
  about: 'the file of keys; or API_KEYS_FILE; secrets/api-keys.json by default',
};
const KEY_ID: ArgumentSpec = { name: 'KEY_ID', about: 'id of the key' };

/** Of the service, each with one operation, but in no group. */
export const FIGURES: readonly CommandSpec[] = [
  {
    path: 'stats',
    summary: 'Show how many connections and messages there are, and the last hour',
    examples: ['stats', 'stats --output json'],
    operations: ['getStats'],
    load: async () => (await import('../commands/stats.js')).stats,
  },
  {
    path: 'whoami',
    summary: 'Show who you are for the service: your id, account and scopes',
    examples: ['whoami', 'whoami --profile staging'],
    operations: ['whoami'],
    load: async () => (await import('../commands/whoami.js')).whoami,
  },
];

export const PROFILES: readonly CommandSpec[] = [
  {
    path: 'login',
    summary: 'Check an address and a key, and store them as a profile',
    details:
      'It takes --url, --token-file if the gateway requires credentials, and --profile with the name, default without it. The ' +
      'profile has the path of the file, never the key. It is the current profile then. Options and the environment win over it.',
    examples: [
      'login --url https://gateway.example.com --token-file ~/token',
      'login --url http://127.0.0.1:3000 --profile local',
    ],
    operations: ['whoami'],
    loadLocal: async () => (await import('../commands/profiles.js')).login,
  },
  {
    path: 'logout',
    summary: 'Remove the current profile, or that of --profile',
    examples: ['logout', 'logout --profile staging'],
    loadLocal: async () => (await import('../commands/profiles.js')).logout,
  },
  {
    path: 'profiles list',
    summary: 'List the profiles',
    examples: ['profiles list'],
    loadLocal: async () => (await import('../commands/profiles.js')).listProfiles,
    isDefault: true,
  },
  {
    path: 'profiles use',
    summary: 'Make a profile the current one',
    arguments: [{ name: 'PROFILE', about: 'name of the profile' }],
    examples: ['profiles use staging'],
    loadLocal: async () => (await import('../commands/profiles.js')).chooseProfile,
  },
];

export const KEYS: readonly CommandSpec[] = [
  {
    path: 'keys create',
    summary: 'Make an API key, and print it once',
    details: 'A running gateway accepts it within a second or two.',
    arguments: [KEY_ID],
    options: [
      { flags: '--scopes <SCOPE,SCOPE>', about: `what it may do: ${SCOPES.join(', ')}; or all`, required: true },
      { flags: '--account <ACCOUNT>', about: 'only for the clients of an account' },
      KEY_FILE,
      { flags: '--out <KEY_FILE>', about: 'write the key to a new file that only you can read' },
    ],
    examples: ['keys create billing --scopes connections:read,messages:write', 'keys create admin --scopes all'],
    loadLocal: async () => (await import('../commands/programs.js')).createKey,
  },
  {
    path: 'keys list',
    summary: 'List the API keys of a file: id, account and scopes',
    options: [KEY_FILE],
    examples: ['keys list --file secrets/api-keys.json'],
    loadLocal: async () => (await import('../commands/programs.js')).listKeys,
  },
  {
    path: 'keys revoke',
    summary: 'Revoke an API key',
    arguments: [KEY_ID],
    options: [KEY_FILE],
    examples: ['keys revoke billing'],
    loadLocal: async () => (await import('../commands/programs.js')).revokeKey,
  },
];

export const OTHERS: readonly CommandSpec[] = [
  {
    path: 'completion',
    summary: 'Print a script that completes commands and options in a shell',
    details:
      'The script says where to put it. It completes the command cloud-connector, which must be on the PATH: not npx, nor npm run cli.',
    arguments: [{ name: 'SHELL', about: 'the shell', choices: ['bash', 'zsh', 'fish'] }],
    examples: ['completion bash', 'completion zsh', 'completion fish'],
    loadLocal: async () => (await import('../commands/completion.js')).printScript,
  },
  {
    path: 'check-broker',
    summary: 'Find out whether an MQTT broker does what the service needs',
    details: 'In the repository of the service only.',
    arguments: [{ name: 'URL', about: 'address of the broker' }],
    options: [
      { flags: '--restart', about: 'have the broker restarted, and look at what it keeps' },
      { flags: '--username <NAME>', about: 'user of the broker' },
      { flags: '--password-file <FILE>', about: 'file with the password' },
      { flags: '--ca-file <FILE>', about: 'certificates of the authority that the broker is checked against' },
      { flags: '--cert-file <FILE>', about: 'certificate of this client' },
      { flags: '--key-file <FILE>', about: 'private key of this client' },
    ],
    examples: ['check-broker mqtt://127.0.0.1:1883'],
    loadLocal: async () => (await import('../commands/programs.js')).checkBroker,
  },
];
