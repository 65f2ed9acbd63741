import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { withRedis } from '../../../test/support/redis.js';
import { LuaCommands, readLua, type LuaCommand, type LuaNamed } from './lua-commands.js';
import type { Redis } from './redis.js';

let redis: Redis;
let root: string;
/** The library of one test: a connection keeps the commands that it has run. */
let own = 'own';
let tests = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  own = `own${tests++}`;
  root = mkdtempSync(join(tmpdir(), 'lua-commands-'));
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function folder(library = own): string {
  return join(root, 'libs', library, 'src/commands');
}

function write(path: string, ...lines: string[]): void {
  const file = path.startsWith('/') ? path : join(folder(), path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${lines.join('\n')}\n`);
}

function load(name = 'act'): LuaCommand<LuaNamed, LuaNamed, unknown> {
  return new LuaCommands(folder()).load(name);
}

describe('a Lua command', () => {
  it('gets its keys and arguments by name, in any order', async () => {
    write(
      'act.lua',
      '-- KEYS one, two',
      '-- ARGV first, second',
      'return { KEYS.two, KEYS.one, ARGV.second, ARGV.first }',
    );
    const reply = await load().run(redis, { two: '{x}b', one: '{x}a' }, { second: 2, first: 1 });
    expect(reply).toEqual(['{x}b', '{x}a', '2', '1']);
  });

  it('gets the index at which a list begins', async () => {
    write(
      'act.lua',
      '-- KEYS one, more...',
      '-- ARGV first, rest...',
      'return { KEYS.more, #KEYS, ARGV[ARGV.rest], #ARGV }',
    );
    expect(await load().run(redis, { one: 'a', more: ['b'] }, { first: 1, rest: [7, 8, 9] })).toEqual([2, 2, '7', 4]);
  });

  it('gets no value for an optional key that the caller leaves out', async () => {
    write('act.lua', '-- KEYS one, two?', 'return { KEYS.one, KEYS.two and 1 or 0, #KEYS }');
    expect(await load().run(redis, { one: 'a' }, {})).toEqual(['a', 0, 1]);
    expect(await load().run(redis, { one: 'a', two: 'b' }, {})).toEqual(['a', 1, 2]);
  });

  it('rejects a call without one of its keys or arguments', async () => {
    write('act.lua', '-- KEYS one', '-- ARGV first', 'return 1');
    await expect(load().run(redis, {}, { first: 1 })).rejects.toThrow(`${own}/act was called without its key "one"`);
    await expect(load().run(redis, { one: 'a' }, {})).rejects.toThrow(
      `${own}/act was called without its argument "first"`,
    );
  });

  it('builds keys from the one that they begin with, and gets its other keys as before', async () => {
    write('includes/base.lua', '-- KEYS prefix', "local function of(id) return KEYS.prefix .. id .. '!' end");
    write('act.lua', '-- KEYS other, one', '--- @include "base"', 'return { KEYS.one, KEYS.other, of(7), #KEYS }');
    const assembled = { base: 'shard', endings: { one: ':one', prefix: ':of:' } };
    const command = new LuaCommands(folder(), assembled).load('act');
    expect(await command.run(redis, { shard: '{s1}', other: '{s1}:other', one: 'unused' }, {})).toEqual([
      '{s1}:one',
      '{s1}:other',
      '{s1}:of:7!',
      2,
    ]);
    await expect(command.run(redis, { other: '{s1}:other' }, {})).rejects.toThrow('without its key "shard"');
  });

  it('gets no base if it builds no keys', () => {
    write('act.lua', '-- KEYS other', 'return KEYS.other');
    const source = readLua(join(folder(), 'act.lua'), { base: 'shard', endings: { one: ':one' } });
    expect(source.keys.map(({ name }) => name)).toEqual(['other']);
  });

  it('replies with an object if its header says that it replies by name', async () => {
    write('act.lua', '-- Reply by name: count, names', "return { 'count', 2, 'names', { 'a', 'b' } }");
    expect(await load().run(redis, {}, {})).toEqual({ count: 2, names: ['a', 'b'] });
  });
});

describe('a Lua file', () => {
  it('includes a file once, before the file that includes it, and its keys follow those of the command', async () => {
    write('includes/base.lua', '-- KEYS shared', 'local function base() return KEYS.shared end');
    write('includes/more.lua', '--- @include "base"', "local function more() return base() .. '+' end");
    write('act.lua', '-- KEYS own', '--- @include "more"', '--- @include "base"', 'return { KEYS.own, more() }');
    const { text, keys } = readLua(join(folder(), 'act.lua'));
    expect(text.match(/function base/g)).toHaveLength(1);
    expect(text.indexOf('function base')).toBeLessThan(text.indexOf('function more'));
    expect(keys.map(({ name }) => name)).toEqual(['own', 'shared']);
    expect(await load().run(redis, { own: '{x}a', shared: '{x}b' }, {})).toEqual(['{x}a', '{x}b+']);
  });

  it('may use an include of another library, which may include files of that library', () => {
    write(join(folder('other'), 'includes/far.lua'), '--- @include "near"', 'local far = near');
    write(join(folder('other'), 'includes/near.lua'), 'local near = 1');
    write('act.lua', '--- @include "other/far"', 'return far');
    expect(readLua(join(folder(), 'act.lua')).text).toBe('local near = 1\nlocal far = near\nreturn far');
  });

  it('leaves out functions of includes that it does not use, on the same lines', async () => {
    write(
      'includes/base.lua',
      'local function low(x)',
      '  if x then return 1 end',
      'end',
      'local function middle() return low(1) end',
      '-- high() is described here',
      'local function high() return middle() end',
      'local function needed() return 2 end',
      'local function used() return needed() end',
    );
    write('act.lua', '--- @include "base"', 'local function own() return 3 end', 'return used()');
    const { text, lines } = readLua(join(folder(), 'act.lua'));
    const own = 'local function own() return 3 end';
    expect(text.split('\n').filter((line) => line !== '' && !line.startsWith('--'))).toEqual([
      'local function needed() return 2 end',
      'local function used() return needed() end',
      own,
      'return used()',
    ]);
    expect(text.split('\n')).toHaveLength(lines.length);
    expect(await load().run(redis, {}, {})).toBe(2);
  });

  it('mentions the values of its constants in place of their names', async () => {
    write(
      'act.lua',
      'local MOST = 3',
      "local WORD = 'MOST'",
      'local TABLE = { MOST }',
      "local function both() return { MOST * 2, WORD, 'WORD', #TABLE, TABLE[1] } end",
      'return {',
      "  MOST, WORD, 'WORD', unpack(both())",
      '}',
    );
    expect(readLua(join(folder(), 'act.lua')).text).toContain("  3, 'MOST', 'WORD', unpack(both())");
    expect(await load().run(redis, {}, {})).toEqual([3, 'MOST', 'WORD', 6, 'MOST', 'WORD', 1, 3]);
  });

  it('keeps its flags on the first line', () => {
    write('act.lua', '#!lua flags=allow-oom', '-- KEYS one', 'return 1');
    expect(readLua(join(folder(), 'act.lua')).text).toMatch(/^#!lua flags=allow-oom\n/);
  });

  it('knows the file and line number of each of its lines', () => {
    write('includes/base.lua', '-- Base.', 'local base = 1');
    write('act.lua', '-- Act.', '--- @include "base"', 'return base');
    const { text, lines } = readLua(join(folder(), 'act.lua'));
    const at = text.split('\n').indexOf('local base = 1');
    expect(lines[at]).toMatchObject({ path: join(folder(), 'includes/base.lua'), line: 2 });
  });

  it('is refused if files include each other, with the whole cycle', () => {
    write('includes/a.lua', '--- @include "b"');
    write('includes/b.lua', '--- @include "a"');
    write('act.lua', '--- @include "a"');
    expect(() => readLua(join(folder(), 'act.lua'))).toThrow(
      /b\.lua:1: files include each other: a\.lua → b\.lua → a\.lua/,
    );
  });

  it('is refused if the end of a function of an include cannot be found', () => {
    write('includes/base.lua', 'local function one()', '  return 1', 'end -- of one', 'local function two()', 'end');
    write('act.lua', '--- @include "base"', 'return 1');
    expect(() => readLua(join(folder(), 'act.lua'))).toThrow(/base\.lua:1: "one" does not end with "end"/);
  });

  it('is refused if an include does not exist, with the line that includes it', () => {
    write('act.lua', 'local x = 1', '--- @include "nothing"');
    expect(() => readLua(join(folder(), 'act.lua'))).toThrow(
      /act\.lua:2: include "nothing": cannot read .*nothing\.lua/,
    );
  });

  it.each([
    ['an invalid name', '-- KEYS one two', /"one two" is no name for KEYS/],
    ['a name after a list', '-- ARGV many..., last', /"last" of ARGV stands after "many"/],
    [
      'a name that its header does not contain',
      '-- KEYS one\nlocal x = KEYS.onee',
      /act\.lua:2: KEYS\.onee is not named/,
    ],
    ['a key after an optional one', '-- KEYS one?, two', /"two" of KEYS stands after "one"/],
  ])('is refused with %s', (_, header, message) => {
    write('act.lua', header, 'return 1');
    expect(() => readLua(join(folder(), 'act.lua'))).toThrow(message);
  });
});
