import fc from 'fast-check';
import { z } from 'zod';
import { SettingsError, commonSettings, duration, integer, loadSettings, url } from './settings.js';

const common = z.object(commonSettings);
const REDIS = { REDIS_URL: 'redis://127.0.0.1:6379' };

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof SettingsError) return error.message;
    throw error;
  }
  throw new Error('the settings were accepted');
}

describe('loadSettings', () => {
  it('uses the defaults of settings that are not set', () => {
    expect(loadSettings(common, REDIS)).toEqual({
      HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      REDIS_URL: 'redis://127.0.0.1:6379',
      KEY_PREFIX: 'cc',
      SHARD_COUNT: 32,
      SHUTDOWN_GRACE: 10_000,
      REQUEST_TIMEOUT: 30_000,
      MAX_CONNECTIONS: 10_000,
    });
  });

  it('parses the settings, durations to milliseconds', () => {
    const env = {
      HOST: '0.0.0.0',
      LOG_LEVEL: 'debug',
      REDIS_URL: 'rediss://user:secret@redis.example.com:6380/2',
      KEY_PREFIX: 'my_Prefix-1',
      SHARD_COUNT: '4096',
      SHUTDOWN_GRACE: '1m',
    };
    expect(loadSettings(common, env)).toEqual({
      ...env,
      SHARD_COUNT: 4096,
      SHUTDOWN_GRACE: 60_000,
      REQUEST_TIMEOUT: 30_000,
      MAX_CONNECTIONS: 10_000,
    });
  });

  it('treats an empty variable as unset', () => {
    const empty = { HOST: '', LOG_LEVEL: '', KEY_PREFIX: '', SHARD_COUNT: '', SHUTDOWN_GRACE: '' };
    expect(loadSettings(common, { ...REDIS, ...empty })).toEqual(loadSettings(common, REDIS));
    expect(messageOf(() => loadSettings(common, { REDIS_URL: '' }))).toBe(messageOf(() => loadSettings(common, {})));
  });

  it('ignores other environment variables', () => {
    expect(loadSettings(common, { ...REDIS, PATH: '/bin', SHARDCOUNT: 'x' })).not.toHaveProperty('PATH');
  });

  it.each([
    [
      'REDIS_URL',
      undefined,
      'must be set: redis://host:port, redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/name',
    ],
    [
      'REDIS_URL',
      'redis+sentinel://a',
      'must name the master the Sentinels watch: redis+sentinel://host:port,host:port/name',
    ],
    ['KEY_PREFIX', 'a:b', 'must be 1 to 32 letters, digits, "_" or "-"'],
    ['KEY_PREFIX', 'x'.repeat(33), 'must be 1 to 32 letters, digits, "_" or "-"'],
    ['KEY_PREFIX', '{cc}', 'must be 1 to 32 letters, digits, "_" or "-"'],
    ['SHARD_COUNT', '0', 'must be a whole number from 1 to 4096'],
    ['SHARD_COUNT', '4097', 'must be a whole number from 1 to 4096'],
    ['SHARD_COUNT', '-1', 'must be a whole number from 1 to 4096'],
    ['SHARD_COUNT', '1.5', 'must be a whole number from 1 to 4096'],
    ['SHARD_COUNT', '1e3', 'must be a whole number from 1 to 4096'],
    ['SHARD_COUNT', ' 8', 'must be a whole number from 1 to 4096'],
    ['SHARD_COUNT', 'many', 'must be a whole number from 1 to 4096'],
    ['SHUTDOWN_GRACE', '10', 'must be a number with a unit (ms, s, m, h, d), such as 10s'],
    ['SHUTDOWN_GRACE', 'soon', 'must be a number with a unit (ms, s, m, h, d), such as 10s'],
    ['SHUTDOWN_GRACE', '999ms', 'must be 1s to 10m'],
    ['SHUTDOWN_GRACE', '11m', 'must be 1s to 10m'],
  ])('names %s if its value is %j, and the values that it accepts', (name, value, expected) => {
    expect(messageOf(() => loadSettings(common, { ...REDIS, [name]: value }))).toBe(
      `wrong settings: ${name}: ${expected}`,
    );
  });

  it('names LOG_LEVEL and the valid levels if the value is not a level', () => {
    const message = messageOf(() => loadSettings(common, { ...REDIS, LOG_LEVEL: 'verbose' }));
    expect(message).toMatch(/^wrong settings: LOG_LEVEL: /);
    for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
      expect(message).toContain(level);
  });

  it('names every wrong variable in one message', () => {
    const message = messageOf(() => loadSettings(common, { SHARD_COUNT: 'x', SHUTDOWN_GRACE: 'y', KEY_PREFIX: ':' }));
    for (const name of ['REDIS_URL', 'SHARD_COUNT', 'SHUTDOWN_GRACE', 'KEY_PREFIX'])
      expect(message).toContain(`${name}: `);
    expect(message.split('; ')).toHaveLength(4);
  });

  it('throws a SettingsError', () => {
    expect(() => loadSettings(common, {})).toThrow(SettingsError);
    expect(new SettingsError('').name).toBe('SettingsError');
  });

  it('reads the environment of the process if none is given', () => {
    const schema = z.object({ SETTINGS_SPEC_VARIABLE: integer(7, 0, 99) });
    try {
      process.env.SETTINGS_SPEC_VARIABLE = '42';
      expect(loadSettings(schema)).toEqual({ SETTINGS_SPEC_VARIABLE: 42 });
    } finally {
      delete process.env.SETTINGS_SPEC_VARIABLE;
    }
    expect(loadSettings(schema)).toEqual({ SETTINGS_SPEC_VARIABLE: 7 });
  });
});

describe('duration', () => {
  it.each([
    ['0ms', 0],
    ['500ms', 500],
    ['30s', 30_000],
    ['10m', 600_000],
    ['24h', 86_400_000],
    ['90d', 7_776_000_000],
  ])('reads %s', (text, ms) => {
    expect(duration('1s').parse(text)).toBe(ms);
    expect(duration(text).parse(undefined)).toBe(ms);
  });

  it.each(['', '1', 's', '1 s', '1.5s', '-1s', '1S', '1w', '1s1m', '1s\n', '1234567890ms', 'PT1S'])(
    'does not read %j',
    (text) => {
      expect(duration('1s').safeParse(text).success).toBe(false);
    },
  );

  it('accepts both limits, and nothing beyond them', () => {
    const limited = duration('5s', { min: '2s', max: '1m' });
    const accepted = ['1999ms', '2s', '60s', '1m', '60001ms'].map((text) => limited.safeParse(text).success);
    expect(accepted).toEqual([false, true, true, true, false]);
  });

  it('has a lower limit without an upper one', () => {
    const limited = duration('90d', { min: '1m' });
    expect(limited.safeParse('59s').success).toBe(false);
    expect(limited.parse('36500d')).toBe(36_500 * 86_400_000);
  });

  it('never returns a number that is not exact', () => {
    const unit = fc.constantFrom('ms', 's', 'm', 'h', 'd');
    fc.assert(
      fc.property(fc.nat({ max: 999_999_999 }), unit, (n, suffix) => {
        const outcome = duration('1s').safeParse(`${n}${suffix}`);
        expect(!outcome.success || Number.isSafeInteger(outcome.data)).toBe(true);
      }),
    );
  });
});

describe('integer', () => {
  it('accepts exactly the whole numbers within its limits', () => {
    fc.assert(
      fc.property(fc.integer({ min: -50, max: 5000 }), (n) => {
        const outcome = integer(10, 5, 1000).safeParse(String(n));
        expect(outcome.success).toBe(n >= 5 && n <= 1000);
        expect(!outcome.success || outcome.data === n).toBe(true);
      }),
    );
  });

  it.each(['', '0x10', '１０', '1_0', '+10', '10.0', '10 ', 'Infinity', '9'.repeat(16)])('refuses %j', (text) => {
    expect(integer(10, 0, Number.MAX_SAFE_INTEGER).safeParse(text).success).toBe(false);
  });
});

describe('url', () => {
  const schema = url('mqtt://127.0.0.1:1883', 'mqtt', 'mqtts');

  it.each(['mqtt://127.0.0.1:1883', 'mqtts://user:pass@broker.example.com', 'MQTT://[::1]:1883'])(
    'accepts %s',
    (text) => {
      expect(schema.parse(text)).toBe(text);
    },
  );

  it.each(['', 'broker', '//broker', 'ws://broker', 'mqtt', 'xmqtt://broker'])('refuses %j', (text) => {
    expect(schema.safeParse(text).error?.issues.map(({ message }) => message)).toEqual([
      'must begin with mqtt:// or mqtts://, such as mqtt://127.0.0.1:1883',
    ]);
  });
});
