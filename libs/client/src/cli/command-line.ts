/** Parses the command line, and reads the address and the token from it and from the environment. */
import { readFileSync } from 'node:fs';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { UsageError } from './failures.js';

export type Options = NonNullable<ParseArgsConfig['options']>;
export type Environment = Readonly<Record<string, string | undefined>>;

const COMMON: Options = {
  url: { type: 'string' },
  'token-file': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
};

/** The options and arguments of one command. */
export class ParsedArgs {
  private constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly positionals: readonly string[],
  ) {}

  /** @throws UsageError */
  static parse(argv: readonly string[], options: Options, maxArguments: number): ParsedArgs {
    try {
      const all = { ...COMMON, ...options };
      const { values, positionals } = parseArgs({ args: [...argv], options: all, allowPositionals: true });
      const extra = positionals[maxArguments];
      if (extra !== undefined) throw new UsageError(`"${extra}" is one argument too many`);
      return new ParsedArgs(values, positionals);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new UsageError((error as Error).message, { cause: error });
    }
  }

  flag(name: string): boolean {
    return this.values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** All values of an option that may be given several times. */
  texts(name: string): string[] {
    const values = this.values[name];
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
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--${name} must be a whole number from 1`);
    return Number(text);
  }

  /** Milliseconds; without a unit, the value is in seconds. @throws UsageError */
  duration(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const [, value, unit = 's'] = /^(\d{1,7})(s|m|h)?$/.exec(text) ?? [];
    const ms = Number(value) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as 's' | 'm' | 'h'];
    if (!(ms > 0)) throw new UsageError(`--${name} must be a duration such as 30s, 5m or 1h`);
    return ms;
  }

  argument(place: number): string | undefined {
    return this.positionals[place];
  }

  /** @throws UsageError */
  need(place: number, name: string): string {
    const value = this.positionals[place];
    if (value === undefined) throw new UsageError(`${name} is missing`);
    return value;
  }
}

/**
 * The address of the gateway and the credentials. There is no option for a token, because other users of a machine can
 * see command lines.
 */
export function access(args: ParsedArgs, env: Environment): { baseUrl: string; token: (() => string) | undefined } {
  const baseUrl = args.text('url') ?? nonEmpty(env['CLOUD_CONNECTOR_URL']) ?? 'http://127.0.0.1:3000';
  if (!/^https?:$/.test(URL.canParse(baseUrl) ? new URL(baseUrl).protocol : '')) {
    throw new UsageError(`"${baseUrl}" is not the address of a gateway, such as https://connector.example.com`);
  }
  const token = args.text('token-file') === undefined ? nonEmpty(env['CLOUD_CONNECTOR_TOKEN']) : undefined;
  if (token !== undefined) return { baseUrl, token: () => token.trim() };
  const file = args.text('token-file') ?? nonEmpty(env['CLOUD_CONNECTOR_TOKEN_FILE']);
  // Read again for each call: a token in a file is replaced before it expires.
  return { baseUrl, token: file === undefined ? undefined : () => readText(file, 'the token').trim() };
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
export function payloadOf(args: ParsedArgs): { payload?: unknown } {
  const [inline, file] = [args.text('payload'), args.text('payload-file')];
  if (inline !== undefined && file !== undefined) throw new UsageError('give --payload or --payload-file, not both');
  const json = inline ?? (file === undefined ? undefined : readText(file === '-' ? 0 : file, 'the payload'));
  if (json === undefined) return {};
  try {
    return { payload: JSON.parse(json) as unknown };
  } catch (error) {
    throw new UsageError(
      `the payload is not JSON: ${(error as Error).message}; a string needs double quotes around it`,
    );
  }
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
