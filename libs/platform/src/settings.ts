/**
 * Configuration: one validated object an app, its members named as the environment variables they come from, so
 * that code, documents and messages use one name. An empty variable counts as unset.
 */
import { accessSync, constants } from 'node:fs';
import { z } from 'zod';
import { isLoopback } from './loopback.js';
import { REDIS_URL_FORMS, parseRedisUrl } from './redis-url.js';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;

/** A duration setting such as `500ms`, `30s`, `10m`, `24h`, `90d`; milliseconds in code. */
export function duration(byDefault: string, limits: { min?: string; max?: string } = {}): z.ZodType<number> {
  const min = limits.min === undefined ? 0 : (toMs(limits.min) ?? 0);
  const max = limits.max === undefined ? Number.MAX_SAFE_INTEGER : (toMs(limits.max) ?? 0);
  return z
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
}

function toMs(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS];
}

/** A whole number setting within limits. */
export function integer(byDefault: number, min: number, max: number): z.ZodType<number> {
  return wholeNumber(min, max).default(byDefault);
}

/** The same, without a default. */
export function optionalInteger(min: number, max: number): z.ZodType<number | undefined> {
  return wholeNumber(min, max).optional();
}

function wholeNumber(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((n) => n >= min && n <= max, message);
}

/** An address setting with one of these URL schemes. */
export function url(example: string, ...schemes: string[]): z.ZodType<string> {
  return z
    .string({ error: `must be set, such as ${example}` })
    .refine(
      (text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.replace(/:$/, '')),
      `must be a URL with the scheme ${schemes.join(', ')}, such as ${example}`,
    );
}

/** An address that nobody on the way can answer for: HTTPS, or on this machine. */
export function secureUrl(example: string): z.ZodType<string> {
  return url(example, 'https', 'http').refine(
    (text) => !URL.canParse(text) || new URL(text).protocol === 'https:' || isLoopback(new URL(text).host),
    'must be https://…, or somebody on the way could answer in its place',
  );
}

/** A setting that names a file this process can read. */
export function readableFile(): z.ZodType<string> {
  return z.string().refine(
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
}

function redisUrl(): z.ZodType<string> {
  return z.string({ error: `must be set: ${REDIS_URL_FORMS}` }).superRefine((text, ctx) => {
    try {
      parseRedisUrl(text);
    } catch (error) {
      ctx.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  });
}

/** A setting read by a function that throws an Error saying what is wrong. */
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

/** Settings that every app has. */
export const commonSettings = {
  /** Address to listen on. Loopback unless told otherwise; containers set `0.0.0.0`. */
  HOST: z.string().default('127.0.0.1'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** One server, a Redis Cluster, or a master that Sentinels know: see `parseRedisUrl`. */
  REDIS_URL: redisUrl(),
  /** First part of every Redis key: several installations can share one Redis. */
  KEY_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'must be 1 to 32 letters, digits, "_" or "-"')
    .default('cc'),
  /** Fixed for the life of a key space. */
  SHARD_COUNT: integer(32, 1, 4096),
  /** Longest a request may take to arrive; half of it, and 10 s at most, for its headers. */
  REQUEST_TIMEOUT: duration('30s', { min: '1s', max: '10m' }),
  /** Most open connections of HTTP; more are closed at once. */
  MAX_CONNECTIONS: integer(10_000, 1, 1_000_000),
  /** Longest a graceful stop may take before the process ends all the same. */
  SHUTDOWN_GRACE: duration('10s', { min: '1s', max: '10m' }),
};

export type CommonSettings = { [Name in keyof typeof commonSettings]: z.output<(typeof commonSettings)[Name]> };

/** Thrown at start for a wrong setting; the message names each variable and what would be right. */
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
