/**
 * `npm run key`, and in the image `node dist/apps/api-gateway/src/key.js`: makes, lists and revokes API keys. A running
 * gateway applies a change within a second or two.
 */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { KeyEntry, mintKey, parseKeyFile } from './access/api-keys.js';
import { nearWord } from './access/near-word.js';
import { SCOPES } from './access/scopes.js';

const USAGE = `npm run key -- create --id ID --scopes SCOPE,SCOPE [--account ACCOUNT] [--file FILE] [--out KEY_FILE]
npm run key -- list [--file FILE]
npm run key -- revoke --id ID [--file FILE]

FILE is what API_KEYS_FILE says, or secrets/api-keys.json. Scopes: ${SCOPES.join(', ')}; "all" for each of them.
With --out the key is written to a new file that only you can read; without it, to stdout.`;

/** Shown without a stack. */
class UsageError extends Error {}

try {
  const args = process.argv.slice(2);
  if (args.some((arg) => arg === '--help' || arg === '-h')) console.log(USAGE);
  else main(args);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function main(args: string[]): void {
  const { command, id, scopes, account, path, out } = readArgs(args);
  const keys = read(path, command === 'create');
  switch (command) {
    case 'create': {
      const about = {
        id,
        scopes: scopes === 'all' ? SCOPES : scopesOf(scopes),
        ...(account !== undefined && { account }),
      };
      const checked = KeyEntry.omit({ sha256: true }).safeParse(about);
      if (!checked.success) {
        throw new UsageError(
          checked.error.issues.map(({ path: at, message }) => `--${at.join('.')}: ${message}`).join('\n'),
        );
      }
      if (keys.some((key) => key.id === id))
        throw new UsageError(`the file already has a key "${id}"; revoke it first, or choose another id`);
      const { key, entry } = mintKey(checked.data);
      if (out !== undefined) writeSecret(out, key);
      try {
        write(path, [...keys, entry]);
      } catch (error) {
        // A key that no gateway knows must not lie about.
        if (out !== undefined) rmSync(out);
        throw error;
      }
      console.error(
        `The digest of the key "${id}" is in ${path}; the key itself is written once, to ${out ?? 'stdout'}.`,
      );
      if (out === undefined) console.log(key);
      return;
    }
    case 'list':
      for (const key of keys) console.log([key.id, key.account ?? '-', key.scopes.join(',')].join('\t'));
      return;
    case 'revoke':
      if (!keys.some((key) => key.id === id)) throw new UsageError(`there is no key "${id}" in ${path}`);
      write(
        path,
        keys.filter((key) => key.id !== id),
      );
      console.error(`Key "${id}" is revoked.`);
      return;
    default:
      throw new UsageError(USAGE);
  }
}

/** @throws UsageError that names each word which is no scope */
function scopesOf(text: string): string[] {
  const words = text.split(',');
  const wrong = words.filter((word) => !SCOPES.some((scope) => scope === word));
  if (wrong.length === 0) return words;
  const lines = wrong.map((word) => {
    const near = nearWord(word, SCOPES);
    return `--scopes: there is no scope "${word}"${near === undefined ? '' : `; did you mean ${near}?`}`;
  });
  throw new UsageError([...lines, `The scopes are ${SCOPES.join(', ')}; "all" for each of them.`].join('\n'));
}

function readArgs(args: string[]): {
  command: string;
  id: string;
  scopes: string;
  account: string | undefined;
  path: string;
  out: string | undefined;
} {
  const text = { type: 'string' } as const;
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { id: text, scopes: text, account: text, file: text, out: text },
    });
    const [command = ''] = positionals;
    const { id = '', scopes = '', account, file, out } = values;
    // `||`: an empty option or variable counts as unset.
    const path = resolve(file || process.env['API_KEYS_FILE'] || 'secrets/api-keys.json');
    return { command, id, scopes, account, path, out: out === undefined || out === '' ? undefined : resolve(out) };
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  }
}

function read(path: string, mayBeAbsent: boolean): KeyEntry[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (mayBeAbsent) return [];
    throw new UsageError(
      `There is no key file ${path}. "npm run key -- create --id ID --scopes SCOPES" makes it; --file names another one.`,
    );
  }
  try {
    return parseKeyFile(text).keys;
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Only the user may read it. Another file at its place, or a link, stays as it is. */
function writeSecret(path: string, key: string): void {
  try {
    writeFileSync(path, `${key}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new UsageError(`${path} is there already: choose another --out, or remove it first`);
  }
}

/**
 * Replaces the file atomically, so that a gateway never reads half of it. Owner and mode stay. Everybody may read a new file, since it
 * has digests only.
 */
function write(path: string, keys: readonly KeyEntry[]): void {
  mkdirSync(dirname(path), { recursive: true });
  const former = statSync(path, { throwIfNoEntry: false });
  const newFile = `${path}.${process.pid}.new`;
  writeFileSync(newFile, `${JSON.stringify({ keys }, null, 2)}\n`, {
    mode: former === undefined ? 0o644 : 0o600,
    flag: 'wx',
  });
  try {
    if (former !== undefined) keepAccess(newFile, former);
    renameSync(newFile, path);
  } catch (error) {
    rmSync(newFile);
    if ((error as NodeJS.ErrnoException).code === 'EPERM')
      throw new UsageError(
        `${path} belongs to another user, and would not any more: run this as that user, or as root`,
      );
    throw error;
  }
}

function keepAccess(path: string, former: Stats): void {
  const made = statSync(path);
  if (made.uid !== former.uid || made.gid !== former.gid) chownSync(path, former.uid, former.gid);
  chmodSync(path, former.mode & 0o777);
}
