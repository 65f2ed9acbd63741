/** The options and arguments of one command, after the framework has parsed them. */
import { readFileSync } from 'node:fs';
import { durationText, secondsOf } from './durations.js';
import { refuseRoundedNumbers } from './exact-numbers.js';
import { UsageError } from './failures.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export class Args {
  constructor(
    /** By the names of commander: `reconnectAfter` for `--reconnect-after`. */
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly positionals: readonly string[],
  ) {}

  flag(name: string): boolean {
    return this.valueOf(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.valueOf(name);
    return typeof value === 'string' ? value : undefined;
  }

  /** All values of an option that may be given several times. */
  texts(name: string): string[] {
    const values = this.valueOf(name);
    return Array.isArray(values) ? values.map(String) : [];
  }

  /** @throws UsageError */
  oneOf<Value extends string>(name: string, values: readonly Value[]): Value | undefined {
    const text = this.text(name);
    const found = values.find((value) => value === text);
    if (text !== undefined && found === undefined) throw new UsageError(`--${name} must be ${values.join(' or ')}`);
    return found;
  }

  /** A whole number from 1. @throws UsageError */
  count(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--${name} must be a whole number from 1, not "${text}"`);
    return Number(text);
  }

  /** Seconds, at least one; without a unit, the value is in seconds. @throws UsageError */
  seconds(name: string, most = Infinity): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const seconds = secondsOf(text);
    if (seconds === undefined) {
      throw new UsageError(`--${name} must be a duration such as 30s, 5m, 1h30m or PT30S, not "${text}"`);
    }
    if (seconds < 1) throw new UsageError(`--${name} must be at least 1s, not "${text}"`);
    if (seconds > most) throw new UsageError(`--${name} must be at most ${durationText(most)}, not "${text}"`);
    return seconds;
  }

  /** The same without an option. */
  without(name: string): Args {
    return new Args({ ...this.values, [name]: undefined }, this.positionals);
  }

  argument(place: number): string | undefined {
    return this.positionals[place];
  }

  get arguments(): readonly string[] {
    return this.positionals;
  }

  /** An argument that the framework has required. */
  need(place: number): string {
    const value = this.positionals[place];
    if (value === undefined) throw new Error(`argument ${place} is missing`);
    return value;
  }

  private valueOf(name: string): unknown {
    return this.values[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
  }
}

/** @throws UsageError */
export function readText(file: string | 0, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${what} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** What `--payload` or `--payload-file` says. @throws UsageError */
export function payloadOf(args: Args): { payload?: unknown } {
  const [inline, file] = [args.text('payload'), args.text('payload-file')];
  if (inline !== undefined && file !== undefined) throw new UsageError('give --payload or --payload-file, not both');
  const json = inline ?? (file === undefined ? undefined : readText(file === '-' ? 0 : file, 'the payload'));
  if (json === undefined) return {};
  try {
    const payload = JSON.parse(json) as unknown;
    refuseRoundedNumbers(json);
    return { payload };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(
      `the payload is not JSON: ${(error as Error).message}; a string needs double quotes around it`,
    );
  }
}
