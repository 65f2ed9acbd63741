/** `cloud-connector check-broker`: arguments in, exit code out. */
import type { Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { Logger } from '@app/platform';
import { brokerAccess, brokerSettings, checkBrokerSettings, type BrokerSettings } from '../broker-access.js';
import { probeBroker, type ProbeOutcome } from './probe-all.js';
import { reportLines } from './report-table.js';
import type { Verdict } from './probe.js';

/** Those of all commands of `cloud-connector`. */
const EXIT = { done: 0, wrong: 1, usage: 2, unreachable: 3, fault: 70 } as const;

const OPTIONS = {
  json: { type: 'boolean' },
  restart: { type: 'boolean' },
  username: { type: 'string' },
  'password-file': { type: 'string' },
  'ca-file': { type: 'string' },
  'cert-file': { type: 'string' },
  'key-file': { type: 'string' },
} as const;

export interface CommandIo {
  stdout: Writable;
  stderr: Writable;
  /** Resolves when the operator presses Enter. */
  untilOperator: (signal: AbortSignal) => Promise<void>;
}

interface Args {
  settings: BrokerSettings & { MQTT_URL: string };
  json: boolean;
  restart: boolean;
}

class UsageError extends Error {}

/** Resolves with the exit code. */
export async function checkBrokerCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const notify = (text: string): void => void io.stderr.write(`${text}\n`);
  try {
    return await check(readArgs(argv), io, notify);
  } catch (error) {
    const isUsage = error instanceof UsageError;
    notify(isUsage ? `${error.message}\nSee: cloud-connector help check-broker` : `Unexpected: ${stackOf(error)}`);
    return isUsage ? EXIT.usage : EXIT.fault;
  }
}

async function check(
  { settings, json, restart }: Args,
  { stdout, untilOperator }: CommandIo,
  notify: (text: string) => void,
): Promise<number> {
  const url = withoutPassword(settings.MQTT_URL);
  if (!json) notify(`Checking ${url}. This takes up to a minute.\n`);
  const checked_at = new Date().toISOString();
  const logger = { warn: (_: object, text: string) => notify(text) };
  const access = brokerAccess(settings, logger as unknown as Logger);
  const outcome = await probeBroker(access, { restart, notify, untilOperator });
  const verdict = verdictOf(outcome);
  if (json) {
    const details = outcome.kind === 'report' ? outcome.report : { verdict, error: outcome.text, probes: [] };
    stdout.write(`${JSON.stringify({ url, checked_at, ...details })}\n`);
  } else if (outcome.kind === 'report') stdout.write(`${reportLines(outcome.report).join('\n')}\n`);
  else notify(`${url}: ${outcome.text}`);
  return verdict === 'wrong' ? EXIT.wrong : verdict === 'unknown' ? EXIT.unreachable : EXIT.done;
}

function verdictOf(outcome: ProbeOutcome): Verdict {
  if (outcome.kind === 'report') return outcome.report.verdict;
  return outcome.kind === 'not-mqtt-5' ? 'wrong' : 'unknown';
}

/** @throws UsageError */
function readArgs(argv: readonly string[]): Args {
  const { values, positionals } = parse(argv);
  const [url, extra] = positionals;
  if (url === undefined) throw new UsageError('URL is missing, such as mqtt://127.0.0.1:1883');
  if (extra !== undefined) throw new UsageError(`"${extra}" is one argument too many`);
  const settings = z.object(brokerSettings).superRefine(checkBrokerSettings).safeParse({
    MQTT_URL: url,
    MQTT_USERNAME: values.username,
    MQTT_PASSWORD_FILE: values['password-file'],
    MQTT_CA_FILE: values['ca-file'],
    MQTT_CERT_FILE: values['cert-file'],
    MQTT_KEY_FILE: values['key-file'],
  });
  if (!settings.success) throw new UsageError(settings.error.issues.map(asOption).join('\n'));
  return { settings: settings.data, json: values.json === true, restart: values.restart === true };
}

function parse(
  argv: readonly string[],
): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** A wrong setting by the name of its option: `MQTT_KEY_FILE` is `--key-file`. */
function asOption({ path, message }: z.core.$ZodIssue): string {
  const asOptions = (text: string): string =>
    text.replaceAll(/MQTT_([A-Z_]+)/g, (_, name: string) =>
      name === 'URL' ? 'URL' : `--${name.toLowerCase().replaceAll('_', '-')}`,
    );
  return asOptions(`${String(path[0])} ${message}`);
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  shown.password = '';
  return shown.href;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
