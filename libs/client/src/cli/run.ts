/** Runs the tool: arguments in, exit code out. */
import type { Writable } from 'node:stream';
import { CloudConnector } from '../cloud-connector.js';
import { ParsedArgs, access, type Environment } from './command-line.js';
import { COMMANDS } from './commands.js';
import { EXIT, UsageError, failureOf } from './failures.js';
import { Output } from './output.js';

export interface ProcessIo {
  env: Environment;
  stdout: Writable;
  stderr: Writable;
  /** Aborted by Ctrl-C. */
  interrupted: AbortSignal;
}

const GENERAL = `Everywhere:
  --url URL          address of the gateway; or CLOUD_CONNECTOR_URL; http://127.0.0.1:3000 by default
  --token-file FILE  an API key or token; or CLOUD_CONNECTOR_TOKEN_FILE, or CLOUD_CONNECTOR_TOKEN with the token itself
  --json             one JSON object a line

Exit codes: 0 done; 1 the message failed, expired, was cancelled or not answered in time, or
the wait ran out; 2 wrong usage; 3 refused by the service, or it cannot be reached; 70 a fault of this tool.`;

/** Resolves with the exit code. */
export async function run(argv: readonly string[], { env, stdout, stderr, interrupted }: ProcessIo): Promise<number> {
  try {
    const [name = 'help', ...rest] = argv;
    if (['help', '--help', '-h'].includes(name)) return await help(rest[0], new Output(stdout, stderr, false));
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new UsageError(`there is no command "${name}"`);
    const args = ParsedArgs.parse(rest, command.options, command.arguments);
    const out = new Output(stdout, stderr, args.flag('json'));
    if (args.flag('help')) return await help(name, out);
    const connector = new CloudConnector(access(args, env));
    return await command.run({ connector, args, out, interrupted });
  } catch (error) {
    const { exit, text } = failureOf(error);
    await new Output(stdout, stderr, false).note(text);
    return exit;
  }
}

async function help(about: string | undefined, out: Output): Promise<number> {
  const chosen = Object.entries(COMMANDS).filter(([name]) => about === undefined || name === about);
  if (chosen.length === 0) throw new UsageError(`there is no command "${about ?? ''}"`);
  const text = chosen.flatMap(([, { usage, does }]) => [...`cloud-connector ${usage}`.split('\n'), `    ${does}`, '']);
  await out.lines([...text, ...GENERAL.split('\n')]);
  return EXIT.done;
}
