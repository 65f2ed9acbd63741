/**
 * Lua commands of a library: each file `commands/<name>.lua` is one atomic act that Redis runs as a whole.
 *
 * A file begins with `#!lua flags=allow-oom` if it may also run when Redis has reached its `maxmemory`; without it, the
 * command fails with `RedisFullError` at its first write. The comment at its head names what it takes:
 *
 *     -- KEYS owner, epoch, log?
 *     -- ARGV fence, writes...
 *
 * `?`: may be absent, `...`: a list; both only at the end. The Lua says `KEYS.owner`, for which Redis gets `KEYS[1]`, and
 * `ARGV.writes` for the index at which the list begins; callers pass an object with the same names. So no two files have to
 * agree on an order. A command whose head says `-- Reply by name: …` returns names and values in turn, which callers get as
 * an object.
 *
 * `--- @include "name"` stands for `commands/includes/name.lua`, `--- @include "sharding/name"` for an include of another
 * library. A file is included once; its KEYS and ARGV are appended to those of the command.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Redis } from './redis.js';

export type LuaValue = string | number;
/** Keys or arguments by name; an array for a list. */
export type LuaNamed = Readonly<Record<string, LuaValue | readonly LuaValue[] | undefined>>;
export type NoArgs = Readonly<Record<string, never>>;

/** A Lua file with its includes, as Redis gets it. */
export interface LuaSource {
  text: string;
  keys: readonly LuaName[];
  args: readonly LuaName[];
  repliesByName: boolean;
  /** The lines of `text`, with names in place of numbers. */
  lines: readonly LuaLine[];
  includes: readonly string[];
}

export interface LuaName {
  name: string;
  kind: 'one' | 'optional' | 'list';
}

export interface LuaLine {
  path: string;
  line: number;
  text: string;
}

/** The commands of one library. */
export class LuaCommands {
  private readonly library: string;

  /** @param folder `commands` beside the library's sources */
  constructor(private readonly folder: string) {
    this.library = basename(dirname(dirname(folder)));
  }

  /** Reads `<name>.lua`. Called when a module is loaded, so that a file that is missing or wrong stops the start. */
  load<Keys extends LuaNamed, Args extends LuaNamed, Reply>(name: string): LuaCommand<Keys, Args, Reply> {
    const path = join(this.folder, `${name}.lua`);
    return new LuaCommand(`${this.library}/${name}`, readLua(path));
  }

  /** The same from a text, for tests. */
  fromText<Keys extends LuaNamed, Args extends LuaNamed, Reply>(
    name: string,
    text: string,
  ): LuaCommand<Keys, Args, Reply> {
    return new LuaCommand(`${this.library}/${name}`, assembleLua(join(this.folder, `${name}.lua`), text));
  }
}

/** One command. Runs by its digest; ioredis sends the text to a server that does not know it yet. */
export class LuaCommand<Keys extends LuaNamed, Args extends LuaNamed, Reply> {
  constructor(
    readonly name: string,
    private readonly source: LuaSource,
  ) {}

  /** All keys of a call lie on one hash slot. Rejects with what Redis or the connection says. */
  async run(redis: Redis, keys: Keys, args: Args): Promise<Reply> {
    if (!(this.name in redis)) redis.defineCommand(this.name, { lua: this.source.text });
    const values: (LuaValue | readonly LuaValue[])[] = [0];
    values[0] = this.push(values, 'key', this.source.keys, keys);
    this.push(values, 'argument', this.source.args, args);
    const call = (redis as unknown as Record<string, ScriptCall>)[this.name];
    const reply = await call?.apply(redis, values);
    return (this.source.repliesByName && Array.isArray(reply) ? byName(reply) : reply) as Reply;
  }

  /** Lists go as they are: ioredis flattens them. @returns how many values were pushed */
  private push(
    values: (LuaValue | readonly LuaValue[])[],
    what: string,
    names: readonly LuaName[],
    given: LuaNamed,
  ): number {
    let count = 0;
    for (const { name, kind } of names) {
      const value = given[name];
      if (value === undefined) {
        if (kind === 'optional') break;
        throw new TypeError(`Lua command ${this.name} was called without its ${what} "${name}"`);
      }
      values.push(value);
      count += typeof value === 'object' ? value.length : 1;
    }
    return count;
  }
}

/** Reads a command and its includes. */
export function readLua(path: string): LuaSource {
  return assembleLua(path, read(path, path));
}

/** @throws LuaSourceError */
export function assembleLua(path: string, text: string): LuaSource {
  const lines: LuaLine[] = [];
  const keys: LuaName[] = [];
  const args: LuaName[] = [];
  const includes = new Set<string>();

  function add(file: string, content: string, under: readonly string[]): void {
    addNames(keys, 'KEYS', file, content);
    addNames(args, 'ARGV', file, content);
    for (const [i, line] of content.split('\n').entries()) {
      const include = INCLUDE.exec(line)?.[1];
      if (include === undefined) {
        lines.push({ path: file, line: i + 1, text: line });
        continue;
      }
      const target = includePath(path, file, include);
      if (under.includes(target)) {
        const cycle = [...under.slice(under.indexOf(target)), target].map((one) => basename(one)).join(' → ');
        throw new LuaSourceError(`${file}:${i + 1}: files include each other: ${cycle}`);
      }
      if (includes.has(target)) continue;
      includes.add(target);
      add(target, read(target, `${file}:${i + 1}: include "${include}"`), [...under, target]);
    }
  }

  add(path, text, [path]);
  return {
    text: lines.map((line) => numbered(line, { KEYS: keys, ARGV: args })).join('\n'),
    keys: checked(path, 'KEYS', keys),
    args: checked(path, 'ARGV', args),
    repliesByName: /^-- Reply by name/m.test(text),
    lines,
    includes: [...includes],
  };
}

/** A Lua file cannot be read; the message says which and why. */
export class LuaSourceError extends Error {
  override readonly name = 'LuaSourceError';
}

const INCLUDE = /^--- @include "([^"]*)"$/;
const NAMED = /\b(KEYS|ARGV)\.(\w+)/g;
const NAME = /^([a-z][a-z0-9_]*)(\?|\.\.\.)?$/;

/** `libs/<library>/src/commands/includes/<name>.lua`, in the sources as in `dist`. */
function includePath(command: string, file: string, include: string): string {
  const [name = '', library] = include.split('/').reverse();
  const own = basename(dirname(file)) === 'includes' ? dirname(dirname(file)) : dirname(command);
  const folder = library === undefined ? own : join(own, '../../..', library, 'src/commands');
  return join(folder, 'includes', `${name}.lua`);
}

/** The names in the comment at the head of a file. */
function addNames(names: LuaName[], table: 'KEYS' | 'ARGV', file: string, content: string): void {
  for (const line of content.split('\n')) {
    if (!line.startsWith('--') && !line.startsWith('#!')) return;
    if (!line.startsWith(`-- ${table} `)) continue;
    for (const word of line.slice(`-- ${table} `.length).split(',')) {
      const [, name, mark] = NAME.exec(word.trim()) ?? [];
      if (name === undefined) throw new LuaSourceError(`${file}: "${word.trim()}" is no name for ${table}`);
      if (names.some((known) => known.name === name)) continue;
      names.push({ name, kind: mark === '?' ? 'optional' : mark === '...' ? 'list' : 'one' });
    }
  }
}

function checked(path: string, table: string, names: readonly LuaName[]): readonly LuaName[] {
  for (const [i, { name, kind }] of names.entries()) {
    const next = names[i + 1];
    if (next === undefined || kind === 'one' || (kind === 'optional' && next.kind === 'optional')) continue;
    throw new LuaSourceError(`${path}: "${next.name}" of ${table} stands after "${name}", whose length is not fixed`);
  }
  return names;
}

function numbered({ path, line, text }: LuaLine, tables: Record<string, readonly LuaName[]>): string {
  if (text.startsWith('--')) return text;
  return text.replace(NAMED, (used, table: string, name: string) => {
    const names = tables[table] ?? [];
    const index = names.findIndex((known) => known.name === name);
    if (index < 0) throw new LuaSourceError(`${path}:${line}: ${used} is not named at the head of the command`);
    return names[index]?.kind === 'list' ? `${index + 1}` : `${table}[${index + 1}]`;
  });
}

function byName(flat: readonly unknown[]): Record<string, unknown> {
  const reply: Record<string, unknown> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) reply[String(flat[i])] = flat[i + 1];
  return reply;
}

function read(path: string, from: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    throw new LuaSourceError(`${from}: cannot read ${path}`, { cause: error });
  }
}

type ScriptCall = (...args: (LuaValue | readonly LuaValue[])[]) => unknown;
