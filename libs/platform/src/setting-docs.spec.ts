import { z } from 'zod';
import { describeSettings, inBytes, section } from './setting-docs.js';
import { bytes, duration, integer, optionalInteger, parsed, readableFile, url } from './settings.js';

const shape = {
  ...section('Sizes', {
    LIMIT: bytes(65_536, 1024, 1_048_576).describe('Largest of them.'),
    COUNT: integer(3, 1, 9).describe('How many.'),
  }),
  ...section('Others', {
    WAIT: duration('2s', { min: '100ms', max: '30s' }).describe('How long.'),
    RATE: optionalInteger(0, 10).describe('How often.'),
    ADDRESS: url('http://localhost', 'http').describe('Where.'),
    SECRET: readableFile().optional().describe('With what.'),
    MODE: z.enum(['on', 'off']).default('on').describe('Which.'),
    TOPIC: parsed('a/b', (text) => text.split('/')).describe('What.'),
  }),
};

describe('describeSettings', () => {
  const described = describeSettings(shape);
  const byName = (name: string) => described.find((setting) => setting.name === name);

  test('lists all settings in their order, each with its section and meaning', () => {
    expect(described.map(({ name }) => name)).toEqual(Object.keys(shape));
    expect(byName('COUNT')).toMatchObject({ section: 'Sizes', meaning: 'How many.' });
    expect(byName('WAIT')).toMatchObject({ section: 'Others', meaning: 'How long.' });
  });

  test.each([
    ['LIMIT', 'bytes, 1 KiB to 1 MiB'],
    ['COUNT', 'number, 1 to 9'],
    ['WAIT', 'duration, 100ms to 30s'],
    ['RATE', 'number, 0 to 10'],
    ['ADDRESS', 'URL: http'],
    ['SECRET', 'file'],
    ['MODE', '`on`, `off`'],
    ['TOPIC', 'text'],
  ])('describes the values that %s accepts', (name, values) => {
    expect(byName(name)?.values).toBe(values);
  });

  test.each([
    ['LIMIT', '65536', false],
    ['WAIT', '2s', false],
    ['MODE', 'on', false],
    ['TOPIC', 'a/b', false],
    ['RATE', undefined, false],
    ['SECRET', undefined, false],
    ['ADDRESS', undefined, true],
  ])('finds the default of %s', (name, byDefault, required) => {
    expect(byName(name)).toMatchObject({ byDefault, required });
  });

  test('shows the default of a size in the largest unit that divides it', () => {
    expect(byName('LIMIT')?.defaultSize).toBe('64 KiB');
    expect(byName('COUNT')?.defaultSize).toBeUndefined();
  });

  test('refuses a setting without a description', () => {
    expect(() => describeSettings(section('Any', { BARE: z.string() }))).toThrow('BARE: add .describe(…)');
  });

  test('refuses a setting outside of every section', () => {
    expect(() => describeSettings({ LOST: z.string().describe('Any.') })).toThrow('LOST: put it into a section(…)');
  });
});

test('inBytes uses the largest unit that divides the number', () => {
  expect([1024, 1536, 65_536, 16_777_216, 1_099_511_627_776].map(inBytes)).toEqual([
    '1 KiB',
    '1536 bytes',
    '64 KiB',
    '16 MiB',
    '1 TiB',
  ]);
});
