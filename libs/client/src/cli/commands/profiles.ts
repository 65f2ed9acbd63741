/** The commands `login`, `logout` and `profiles …`: they store the path of a token, never the token. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { CloudConnector } from '../../cloud-connector.js';
import { access } from '../access.js';
import type { LocalContext } from '../context.js';
import { EXIT, UsageError } from '../failures.js';
import { DEFAULT_PROFILE, checkProfileName, readProfiles, unknownProfile, writeProfiles } from '../profiles.js';

/** The id of each caller of a gateway that requires no credentials. */
const NOBODY = 'anybody';

export async function login({ args, out, env }: LocalContext): Promise<number> {
  const name = args.text('profile') ?? DEFAULT_PROFILE;
  checkProfileName(name);
  if (args.text('url') === undefined && (env['CLOUD_CONNECTOR_URL'] ?? '') === '') {
    throw new UsageError('--url is missing: the address of the gateway, such as https://connector.example.com');
  }
  const { baseUrl, tokenFile, token } = access(args.without('profile'), env);
  if (token !== undefined && tokenFile === undefined) {
    throw new UsageError('a profile has the path of a token, not a token: write it into a file, and give --token-file');
  }
  // Before it is stored: a wrong address or key is noticed now.
  const { id, account, scopes } = await new CloudConnector({ baseUrl, token }).whoami();
  const profiles = readProfiles(env);
  const profile = { url: baseUrl, ...(tokenFile !== undefined && { tokenFile: resolve(tokenFile) }) };
  writeProfiles({ current: name, profiles: { ...profiles.profiles, [name]: profile } }, env);
  if (tokenFile !== undefined && isReadableByOthers(tokenFile)) {
    await out.note(`Other users of this machine can read ${tokenFile}: chmod 600 ${tokenFile}`);
  }
  if (tokenFile !== undefined && id === NOBODY) {
    await out.note(`${baseUrl} takes no keys: it requires no credentials, and has not looked at ${tokenFile}.`);
  }
  const who = `${id}${account === null ? '' : ` of the account ${account}`}`;
  await out.result(
    { profile: name, ...profile, caller: { id, account, scopes } },
    `Logged in to ${baseUrl} as ${who}, with ${scopes.join(', ')}. It is the profile "${name}".`,
  );
  return EXIT.done;
}

function isReadableByOthers(file: string): boolean {
  return process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0;
}

export async function logout({ args, out, env }: LocalContext): Promise<number> {
  const { current, profiles } = readProfiles(env);
  const name = args.text('profile') ?? current;
  if (name === null) throw new UsageError('there is no current profile: name one with --profile');
  if (!Object.hasOwn(profiles, name)) throw unknownProfile(name, profiles);
  const tokenFile = profiles[name]?.tokenFile;
  const left = Object.fromEntries(Object.entries(profiles).filter(([one]) => one !== name));
  writeProfiles({ current: current === name ? null : current, profiles: left }, env);
  const keepsKey = tokenFile !== undefined && existsSync(tokenFile);
  await out.result(
    { profile: name, removed: true },
    `The profile "${name}" is removed.${keepsKey ? ` The file of its key is still there: ${tokenFile}` : ''}`,
  );
  return EXIT.done;
}

export async function listProfiles({ out, env }: LocalContext): Promise<number> {
  const { current, profiles } = readProfiles(env);
  const found = Object.entries(profiles).sort(([a], [b]) => (a < b ? -1 : 1));
  if (out.structured) {
    for (const [name, profile] of found) await out.object({ name, current: name === current, ...profile });
    return EXIT.done;
  }
  await out.table(
    [{ head: 'PROFILE', whole: true }, { head: 'CURRENT' }, { head: 'URL', whole: true }, { head: 'TOKEN FILE' }],
    found.map(([name, { url, tokenFile }]) => [name, name === current ? 'yes' : '', url, tokenFile ?? '-']),
  );
  return EXIT.done;
}

export async function chooseProfile({ args, out, env }: LocalContext): Promise<number> {
  const name = args.need(0);
  const { profiles } = readProfiles(env);
  if (!Object.hasOwn(profiles, name)) throw unknownProfile(name, profiles);
  writeProfiles({ current: name, profiles }, env);
  await out.result({ profile: name }, `The current profile is "${name}".`);
  return EXIT.done;
}
