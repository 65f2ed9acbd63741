/**
 * Configuration: one validated object for each app. Its members have the names of their environment variables, so that code,
 * documents and messages use one name. An empty variable counts as unset. Each schema holds the text for
 * docs/configuration.md: `.describe(…)`, the section, and the accepted `values`.
 */
import { accessSync, constants } from 'node:fs';
import { z } from 'zod';
import { isLoopback } from './loopback.js';
import { REDIS_URL_FORMS, parseRedisUrl } from './redis-url.js';
import { inBytes, section, withValues } from './setting-docs.js';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;

/** A duration such as `500ms`, `30s`, `10m`, `24h` or `90d`, parsed to milliseconds. */
export function duration(byDefault: string, limits: { min?: string; max?: string } = {}): z.ZodType<number> {
  const min = limits.min === undefined ? 0 : (toMs(limits.min) ?? 0);
  const max = limits.max === undefined ? Number.MAX_SAFE_INTEGER : (toMs(limits.max) ?? 0);
  const schema = z
    .string()
    .default(byDefault)
    .transform((text, ctx) => {
      const ms = toMs(text);
      if (ms === undefined) {
        ctx.addIssue({
          code: 'custom',
          message: `must be a number with a unit (ms, s, m, h, d), such as ${byDefault}`,
        });
        return z.NEVER;
      }
      if (ms < min || ms > max) {
        ctx.addIssue({ code: 'custom', message: `must be ${limits.min ?? '0ms'} to ${limits.max ?? 'any'}` });
        return z.NEVER;
      }
      return ms;
    });
  return withValues(schema, `duration${range(limits.min, limits.max)}`);
}

function range(min: string | undefined, max: string | undefined): string {
  if (min !== undefined && max !== undefined) return `, ${min} to ${max}`;
  if (min !== undefined) return `, at least ${min}`;
  return max === undefined ? '' : `, at most ${max}`;
}

function toMs(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS];
}

/** A whole number within limits. */
export function integer(byDefault: number, min: number, max: number): z.ZodType<number> {
  return withValues(wholeNumber(min, max).default(byDefault), `number, ${min} to ${max}`);
}

/** A whole number within limits, without a default. */
export function optionalInteger(min: number, max: number): z.ZodType<number | undefined> {
  return withValues(wholeNumber(min, max).optional(), `number, ${min} to ${max}`);
}

/** A size in bytes within limits. */
export function bytes(byDefault: number, min: number, max: number): z.ZodType<number> {
  return withValues(wholeNumber(min, max).default(byDefault), `bytes, ${inBytes(min)} to ${inBytes(max)}`);
}

/** A size in bytes within limits, without a default. */
export function optionalBytes(min: number, max: number): z.ZodType<number | undefined> {
  return withValues(wholeNumber(min, max).optional(), `bytes, ${inBytes(min)} to ${inBytes(max)}`);
}

function wholeNumber(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((n) => n >= min && n <= max, message);
}

/** A URL with one of these schemes. */
export function url(example: string, ...schemes: string[]): z.ZodType<string> {
  const schema = z
    .string({ error: `must be set, such as ${example}` })
    .refine(
      (text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.replace(/:$/, '')),
      `must begin with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}, such as ${example}`,
    );
  return withValues(schema, `URL: ${schemes.join(' or ')}`);
}

/** A URL whose server cannot be impersonated: HTTPS, or an address of this machine. */
export function secureUrl(example: string): z.ZodType<string> {
  const schema = url(example, 'https', 'http').refine(
    (text) => !URL.canParse(text) || new URL(text).protocol === 'https:' || isLoopback(new URL(text).host),
    'must be https://…, because another server could answer in its place',
  );
  return withValues(schema, 'URL: https, or http on loopback');
}

/** The path of a file that this process can read. */
export function readableFile(): z.ZodType<string> {
  const schema = z.string().refine(
    (path) => {
      try {
        accessSync(path, constants.R_OK);
        return true;
      } catch {
        return false;
      }
    },
    { error: 'must name a file that can be read' },
  );
  return withValues(schema, 'file');
}

function redisUrl(): z.ZodType<string> {
  const schema = z.string({ error: `must be set: ${REDIS_URL_FORMS}` }).superRefine((text, ctx) => {
    try {
      parseRedisUrl(text);
    } catch (error) {
      ctx.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  });
  return withValues(schema, 'URL: redis or rediss');
}

/** A setting that `parse` reads. `parse` throws an Error that says what is wrong. */
export function parsed<T>(byDefault: string, parse: (text: string) => T): z.ZodType<T> {
  return z
    .string()
    .default(byDefault)
    .transform((text, ctx) => {
      try {
        return parse(text);
      } catch (error) {
        ctx.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
        return z.NEVER;
      }
    });
}

/** The settings that all apps have. */
export const commonSettings = {
  ...section('Redis and the key space', {
    REDIS_URL: redisUrl().describe(
      'Where Redis is: `redis://host:port/db`, `redis+cluster://host:port,host:port` or ' +
        '`redis+sentinel://host:port,host:port/master-name/db`, with `user:password@` before the hosts if needed, and ' +
        '`rediss` for TLS. See [Operations](operations.md#redis). The same for all apps.',
    ),
    KEY_PREFIX: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 letters, digits, "_" or "-"')
      .default('cc')
      .describe(
        'First part of every Redis key, so that several installations can share one Redis: 1 to 32 letters, digits, ' +
          '`_` or `-`. The same for all apps.',
      ),
    SHARD_COUNT: integer(32, 1, 4096).describe(
      'Number of shards. It is fixed for the life of a key space: an app that is started with another number refuses ' +
        'to start. The same for all apps.',
    ),
  }),
  ...section('HTTP', {
    HOST: z
      .string()
      .default('127.0.0.1')
      .describe('Address to listen on: this machine only by default. Containers set `0.0.0.0`.'),
    REQUEST_TIMEOUT: duration('30s', { min: '1s', max: '10m' }).describe(
      'Longest time in which a request must arrive. Its headers have half of this time, and at most 10 s.',
    ),
    MAX_CONNECTIONS: integer(10_000, 1, 1_000_000).describe(
      'Most open HTTP connections. The app closes further ones at once.',
    ),
  }),
  ...section('Process', {
    LOG_LEVEL: z
      .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
      .default('info')
      .describe('Least severe level that is logged. The audit log is written at every level but `silent`.'),
    SHUTDOWN_GRACE: duration('10s', { min: '1s', max: '10m' }).describe(
      'Longest time that a graceful stop may take. After it the process exits with code 1. Keep it shorter than ' +
        'what the platform allows, such as `terminationGracePeriodSeconds`.',
    ),
  }),
};

export type CommonSettings = { [Name in keyof typeof commonSettings]: z.output<(typeof commonSettings)[Name]> };

/** Settings are wrong. The message names each wrong variable and the accepted values. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/** Reads an app's settings from the environment. @throws SettingsError */
export function loadSettings<Schema extends z.ZodType>(
  schema: Schema,
  env: NodeJS.ProcessEnv = process.env,
): z.output<Schema> {
  const present = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const outcome = schema.safeParse(present);
  if (outcome.success) return outcome.data;
  const lines = outcome.error.issues.map((issue) => `${issue.path.map(String).join('.')}: ${issue.message}`);
  throw new SettingsError(`wrong settings: ${lines.join('; ')}`);
}
