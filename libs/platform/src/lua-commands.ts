/**
 * The Lua commands of a library. Redis runs each file `commands/<name>.lua` as one atomic step.
 *
 * A file begins with `#!lua flags=allow-oom` if it may run after Redis has reached its `maxmemory`. Without that line it then
 * fails with `RedisFullError` at its first write. The header of the file names its keys and arguments:
 *
 *     -- KEYS owner, epoch, log?
 *     -- ARGV fence, writes...
 *
 * `?` marks a name that may be absent, and `...` a list; both are allowed only at the end. `KEYS.owner` in the file becomes
 * `KEYS[1]`, and `ARGV.writes` becomes the index at which the list begins. Callers pass objects with the same names, so that
 * no two files have to agree on an order. If the header says `-- Reply by name: …`, the command returns names and values in
 * turn, and callers get an object.
 *
 * `--- @include "name"` inserts `commands/includes/name.lua`; `--- @include "sharding/name"` inserts an include of another
 * library. Each file is inserted once. Its KEYS and ARGV are appended to those of the command. Redis would build the functions of
 * includes in every run, so those that a command does not use are left out.
 *
 * Commands may build keys from one that all of them begin with (`AssembledKeys`), since each key of a call costs more than building it.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Redis } from './redis.js';

export type LuaValue = string | number;
/** Keys or arguments by name; an array for a list. */
export type LuaNamed = Readonly<Record<string, LuaValue | readonly LuaValue[] | undefined>>;
export type NoArgs = Readonly<Record<string, never>>;

/** A Lua file with its includes, as it is sent to Redis. */
export interface LuaSource {
  text: string;
  keys: readonly LuaName[];
  args: readonly LuaName[];
  /** The key from which the command builds others; undefined if it builds none. */
  base: string | undefined;
  repliesByName: boolean;
  /** The lines of `text` before names were replaced by numbers. */
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

/** Keys that commands build themselves: `KEYS.<name>` becomes `KEYS[1] .. '<ending>'`. */
export interface AssembledKeys {
  /** Name of the key with which they begin, and which callers pass in place of them; it has the hash tag. */
  base: string;
  /** What follows it, by name. */
  endings: Readonly<Record<string, string>>;
}

/** The commands of one library. */
export class LuaCommands {
  private readonly library: string;

  /** @param folder `commands` beside the library's sources */
  constructor(
    private readonly folder: string,
    private readonly assembled?: AssembledKeys,
  ) {
    this.library = basename(dirname(dirname(folder)));
  }

  /** Reads `<name>.lua`. Modules call it when they are loaded, so that a missing or invalid file prevents the start. */
  load<Keys extends LuaNamed, Args extends LuaNamed, Reply>(name: string): LuaCommand<Keys, Args, Reply> {
    const path = join(this.folder, `${name}.lua`);
    return new LuaCommand(`${this.library}/${name}`, readLua(path, this.assembled));
  }

  /** Like `load`, from a text; for tests. */
  fromText<Keys extends LuaNamed, Args extends LuaNamed, Reply>(
    name: string,
    text: string,
  ): LuaCommand<Keys, Args, Reply> {
    return new LuaCommand(
      `${this.library}/${name}`,
      assembleLua(join(this.folder, `${name}.lua`), text, this.assembled),
    );
  }
}

/** One command. It runs by its digest; ioredis sends the text to a server that does not have it yet. */
export class LuaCommand<Keys extends LuaNamed, Args extends LuaNamed, Reply> {
  constructor(
    readonly name: string,
    private readonly source: LuaSource,
  ) {}

  /** All keys of a call must be on one hash slot. Rejects with a RedisError. */
  async run(redis: Redis, keys: Keys, args: Args): Promise<Reply> {
    if (!(this.name in redis)) redis.defineCommand(this.name, { lua: this.source.text });
    const values: (LuaValue | readonly LuaValue[])[] = [0];
    const count = this.push(values, 'key', this.source.keys, keys);
    const guards = count === 1 && redis.isCluster ? this.guardsOf(keys) : [];
    values.push(...guards);
    values[0] = count + guards.length;
    this.push(values, 'argument', this.source.args, args);
    const call = (redis as unknown as Record<string, ScriptCall>)[this.name];
    const reply = await call?.apply(redis, values);
    return (this.source.repliesByName && Array.isArray(reply) ? byName(reply) : reply) as Reply;
  }

  /**
   * A second key for a command that builds its keys. While a slot moves, a Redis Cluster sends a call with a single key, which does not
   * exist, to the new master, although the keys that the command builds are still on the former one. It refuses a call with two
   * keys until the slot has moved.
   */
  private guardsOf(keys: LuaNamed): readonly string[] {
    const { base } = this.source;
    return base === undefined ? [] : [`${String(keys[base])}:guard`];
  }

  /** Appends the values in the order of `names`. Lists stay nested: ioredis flattens them. @returns how many values there are */
  private push(
    values: (LuaValue | readonly LuaValue[])[],
    what: 'key' | 'argument',
    names: readonly LuaName[],
    valuesByName: LuaNamed,
  ): number {
    let count = 0;
    for (const { name, kind } of names) {
      const value = valuesByName[name];
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
export function readLua(path: string, assembled?: AssembledKeys): LuaSource {
  return assembleLua(path, read(path, path), assembled);
}

/** @throws LuaSourceError */
export function assembleLua(path: string, text: string, assembled?: AssembledKeys): LuaSource {
  const lines: LuaLine[] = [];
  const keys: LuaName[] = [];
  const args: LuaName[] = [];
  const includes = new Set<string>();

  function add(file: string, content: string, includedBy: readonly string[]): void {
    addNames(keys, 'KEYS', file, content);
    addNames(args, 'ARGV', file, content);
    for (const [i, line] of content.split('\n').entries()) {
      const include = INCLUDE.exec(line)?.[1];
      if (include === undefined) {
        lines.push({ path: file, line: i + 1, text: line });
        continue;
      }
      const target = includePath(path, file, include);
      if (includedBy.includes(target)) {
        const cycle = [...includedBy.slice(includedBy.indexOf(target)), target]
          .map((included) => basename(included))
          .join(' → ');
        throw new LuaSourceError(`${file}:${i + 1}: files include each other: ${cycle}`);
      }
      if (includes.has(target)) continue;
      includes.add(target);
      add(target, read(target, `${file}:${i + 1}: include "${include}"`), [...includedBy, target]);
    }
  }

  add(path, text, [path]);
  const passed = keys.filter(({ name }) => assembled?.endings[name] === undefined);
  const base = passed.length < keys.length ? assembled?.base : undefined;
  if (base !== undefined) passed.unshift({ name: base, kind: 'one' });
  const numbers = { KEYS: passed, ARGV: args };
  return {
    text: withValues(withoutUnused(path, lines))
      .map((line) => numbered(line, numbers, assembled?.endings ?? {}))
      .join('\n'),
    keys: checked(path, 'KEYS', passed),
    args: checked(path, 'ARGV', args),
    base,
    repliesByName: /^-- Reply by name/m.test(text),
    lines,
    includes: [...includes],
  };
}

/** A Lua file is missing or invalid. The message names the file, the line and the reason. */
export class LuaSourceError extends Error {
  override readonly name = 'LuaSourceError';
}

const INCLUDE = /^--- @include "([^"]*)"$/;
const CONSTANT = /^local ([A-Z][A-Z_]+) = (\d+|'[^'\\]*')$/;
const NAMED = /\b(KEYS|ARGV)\.(\w+)( \.\.)?/g;
const NAME = /^([a-z][a-z0-9_]*)(\?|\.\.\.)?$/;

/** `libs/<library>/src/commands/includes/<name>.lua`; the same path in the sources and in `dist`. */
function includePath(command: string, file: string, include: string): string {
  const [name = '', library] = include.split('/').reverse();
  const own = basename(dirname(file)) === 'includes' ? dirname(dirname(file)) : dirname(command);
  const folder = library === undefined ? own : join(own, '../../..', library, 'src/commands');
  return join(folder, 'includes', `${name}.lua`);
}

/** Adds the names from the header of a file. */
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
    throw new LuaSourceError(
      `${path}: "${next.name}" of ${table} stands after "${name}", whose length is not fixed: move it before that`,
    );
  }
  return names;
}

/**
 * Empties the lines of functions of includes that nothing else uses. Each begins at the start of a line with
 * `local function`, and ends there with `end` or on the same line.
 */
function withoutUnused(command: string, lines: readonly LuaLine[]): readonly LuaLine[] {
  const left = [...lines];
  const uses = new Map<string, number>();
  const count = (from: number, to: number, by: 1 | -1): void => {
    for (const { text } of left.slice(from, to)) {
      const words = text.startsWith('--') ? [] : (text.match(/\w+/g) ?? []);
      for (const word of words) uses.set(word, (uses.get(word) ?? 0) + by);
    }
  };
  count(0, left.length, 1);
  const blocks = lines.flatMap(({ path, line, text }, from) => {
    const name = path === command ? undefined : /^local function (\w+)\(/.exec(text)?.[1];
    if (name === undefined) return [];
    const to = text.endsWith(' end') ? from : lines.findIndex((line, i) => i > from && /^\w/.test(line.text));
    if (to !== from && lines[to]?.text !== 'end') {
      throw new LuaSourceError(`${path}:${line}: "${name}" does not end with "end" at the start of a line`);
    }
    return [{ name, from, to: to + 1 }];
  });
  // What a function uses stands before it, so from the last one on, those that only unused ones mention are found as well.
  for (const { name, from, to } of blocks.toReversed()) {
    count(from, to, -1);
    if (uses.get(name) === 0) left.fill({ path: command, line: 0, text: '' }, from, to);
    else count(from, to, 1);
  }
  return left;
}

/**
 * Replaces the names of simple constants by their values. A function that uses a name of the file costs more in each run,
 * because Redis links it to the name when it builds the function.
 */
function withValues(lines: readonly LuaLine[]): readonly LuaLine[] {
  const values = new Map<string, string>();
  for (const { text } of lines) {
    const [, name, value] = CONSTANT.exec(text) ?? [];
    if (name !== undefined && value !== undefined) values.set(name, value);
  }
  return lines.map((line) => {
    if (line.text.startsWith('--') || CONSTANT.test(line.text)) return line;
    return { ...line, text: line.text.replace(/(?<!['\w])[A-Z][A-Z_]+\b/g, (word) => values.get(word) ?? word) };
  });
}

function numbered(
  { path, line, text }: LuaLine,
  tables: Record<string, readonly LuaName[]>,
  endings: Readonly<Record<string, string>>,
): string {
  if (text.startsWith('--')) return text;
  return text.replace(NAMED, (used, table: string, name: string, dots: string | undefined) => {
    const ending = table === 'KEYS' ? endings[name] : undefined;
    if (ending !== undefined) {
      const key = `KEYS[1] .. '${ending}'`;
      // One concatenation of three texts is cheaper than two.
      return dots === undefined ? `(${key})` : `${key}${dots}`;
    }
    const names = tables[table] ?? [];
    const index = names.findIndex((known) => known.name === name);
    if (index < 0) throw new LuaSourceError(`${path}:${line}: ${used} is not named at the head of the command`);
    return (names[index]?.kind === 'list' ? `${index + 1}` : `${table}[${index + 1}]`) + (dots ?? '');
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
