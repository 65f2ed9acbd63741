/** The command line and the environment, read. */
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

/** Options and arguments of one command. */
export class Given {
  private constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly args: readonly string[],
  ) {}

  /** @throws UsageError */
  static parse(argv: readonly string[], options: Options, most: number): Given {
    try {
      const all = { ...COMMON, ...options };
      const { values, positionals } = parseArgs({ args: [...argv], options: all, allowPositionals: true });
      const more = positionals[most];
      if (more !== undefined) throw new UsageError(`"${more}" is one argument too many`);
      return new Given(values, positionals);
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

  /** Of an option that may be given several times. */
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

  argument(place: number): string | undefined {
    return this.args[place];
  }

  /** @throws UsageError */
  need(place: number, name: string): string {
    const value = this.args[place];
    if (value === undefined) throw new UsageError(`${name} is missing`);
    return value;
  }
}

/** Where the gateway is, and how to be let in. A token is no option: other users of a machine see command lines. */
export function access(given: Given, env: Environment): { baseUrl: string; token: (() => string) | undefined } {
  const baseUrl = given.text('url') ?? set(env['CLOUD_CONNECTOR_URL']) ?? 'http://127.0.0.1:3000';
  if (!/^https?:$/.test(URL.canParse(baseUrl) ? new URL(baseUrl).protocol : '')) {
    throw new UsageError(`"${baseUrl}" is no address of a gateway, such as https://connector.example.com`);
  }
  const token = given.text('token-file') === undefined ? set(env['CLOUD_CONNECTOR_TOKEN']) : undefined;
  if (token !== undefined) return { baseUrl, token: () => token.trim() };
  const file = given.text('token-file') ?? set(env['CLOUD_CONNECTOR_TOKEN_FILE']);
  // Read for each call: a token in a file is replaced before it runs out.
  return { baseUrl, token: file === undefined ? undefined : () => read(file, 'the token').trim() };
}

/** @throws UsageError */
export function read(file: string | 0, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${what} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
