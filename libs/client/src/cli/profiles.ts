/** Profiles: addresses of gateways, each with the path of a file that has the key. No key is in this file. */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { Environment } from './args.js';
import { UsageError } from './failures.js';

export interface Profile {
  url: string;
  /** An absolute path. */
  tokenFile?: string;
}

export interface Profiles {
  /** The name of the profile that is used if none is named. */
  current: string | null;
  profiles: Record<string, Profile>;
}

export const DEFAULT_PROFILE = 'default';

/** The folder is that of the XDG specification, which ignores a relative path. */
export function profilesPath(env: Environment): string {
  const base = env['XDG_CONFIG_HOME'] ?? '';
  const home = env['HOME'] === undefined || env['HOME'] === '' ? homedir() : env['HOME'];
  return join(isAbsolute(base) ? base : join(home, '.config'), 'cloud-connector', 'profiles.json');
}

/** @throws UsageError if the file cannot be read, or is not one of this tool */
export function readProfiles(env: Environment): Profiles {
  const path = profilesPath(env);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { current: null, profiles: {} };
    throw new UsageError(`the profiles cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const found = parse(text);
  if (found === undefined) {
    throw new UsageError(`${path} is not a file of profiles: correct it, or remove it and log in again`);
  }
  return found;
}

/** Writes the file at once, so that nobody reads half of it. Only the user may read it. @throws UsageError */
export function writeProfiles(profiles: Profiles, env: Environment): void {
  const path = profilesPath(env);
  const folder = dirname(path);
  const newFile = `${path}.${process.pid}.new`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // The mode of `mkdir` is for a new folder only.
    chmodSync(folder, 0o700);
    rmSync(newFile, { force: true });
    writeFileSync(newFile, `${JSON.stringify(profiles, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    renameSync(newFile, path);
  } catch (error) {
    throw new UsageError(`the profiles cannot be written: ${(error as Error).message}`, { cause: error });
  }
}

/** The profile of this name, or the current one. @throws UsageError if there is none of this name */
export function findProfile(name: string | undefined, env: Environment): Profile | undefined {
  const { current, profiles } = readProfiles(env);
  const wanted = name === undefined || name === '' ? current : name;
  if (wanted === null) return undefined;
  const found = Object.hasOwn(profiles, wanted) ? profiles[wanted] : undefined;
  if (found === undefined) throw unknownProfile(wanted, profiles);
  return found;
}

export function unknownProfile(name: string, profiles: Profiles['profiles']): UsageError {
  const names = Object.keys(profiles);
  const remedy =
    names.length === 0
      ? 'cloud-connector login makes one'
      : `there ${names.length === 1 ? 'is' : 'are'} ${names.sort().join(', ')}`;
  return new UsageError(`there is no profile "${name}": ${remedy}`);
}

/** @throws UsageError */
export function checkProfileName(name: string): void {
  if (/^[A-Za-z0-9][\w.-]{0,63}$/.test(name)) return;
  throw new UsageError(
    `"${name}" cannot be the name of a profile: use letters, digits, ".", "-" and "_", and begin with a letter or a digit`,
  );
}

function parse(text: string): Profiles | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The caller says what is wrong, and with which file.
    return undefined;
  }
  if (!isObject(value) || !isObject(value['profiles'])) return undefined;
  const { current, profiles } = value;
  if (current !== null && typeof current !== 'string') return undefined;
  if (!Object.values(profiles).every(isProfile)) return undefined;
  return { current, profiles: profiles as Record<string, Profile> };
}

function isProfile(value: unknown): boolean {
  if (!isObject(value) || typeof value['url'] !== 'string') return false;
  return value['tokenFile'] === undefined || typeof value['tokenFile'] === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
