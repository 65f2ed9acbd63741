/** Runs the tool: arguments in, exit code out. */
import { access } from './access.js';
import type { Args, Environment } from './args.js';
import type { LocalContext, Programs } from './context.js';
import { EXIT, failureOf } from './failures.js';
import { Output, type Format, type Terminal } from './output.js';
import { colourFor } from './colour.js';

export interface ProcessIo {
  env: Environment;
  stdout: Terminal;
  stderr: Terminal;
  /** A signal that Ctrl-C aborts. Who calls this ends itself then. */
  untilInterrupted: () => AbortSignal;
  programs?: Programs;
}

/** Resolves with the exit code. */
export async function run(argv: readonly string[], io: ProcessIo): Promise<number> {
  const { env, stdout, stderr } = io;
  let command = '';
  try {
    if (argv[0] === 'complete') return await complete(argv.slice(1), io);
    const { parse } = await import('./program.js');
    const parsed = parse(argv, { columns: stdout.columns || 80, colour: colourFor(stdout, env) });
    if ('text' in parsed) return await showText(parsed.text, argv, io);
    const { spec, args } = parsed;
    command = spec.path;
    const out = new Output(stdout, stderr, env, formatOf(args));
    const context: LocalContext = {
      ...{ args, out, env },
      ...{ programs: io.programs ?? {}, untilInterrupted: io.untilInterrupted },
    };
    if (spec.loadLocal !== undefined) return await (await spec.loadLocal())(context);
    const [{ CloudConnector }, handler] = await Promise.all([import('../cloud-connector.js'), spec.load()]);
    return await handler({ ...context, connector: new CloudConnector(access(args, env)) });
  } catch (error) {
    const { exit, text } = failureOf(error, command);
    await new Output(stdout, stderr, env).note(text);
    return exit;
  }
}

/** Help or the version; the help of a group that was named without a command is an error. */
async function showText(text: string, argv: readonly string[], { env, stdout, stderr }: ProcessIo): Promise<number> {
  const out = new Output(stdout, stderr, env);
  const isAsked = argv.length === 0 || argv.some((word) => ['help', '-h', '--help', '-V', '--version'].includes(word));
  if (isAsked) await out.safe([text.trimEnd()]);
  else await out.note(text.trimEnd());
  return isAsked ? EXIT.done : EXIT.usage;
}

async function complete(words: readonly string[], { env, stdout, stderr }: ProcessIo): Promise<number> {
  const { candidatesFor } = await import('./complete.js');
  const lines = candidatesFor(words, env).map(({ value, about }) => `${value}\t${about}`);
  await new Output(stdout, stderr, env).safe(lines);
  return EXIT.done;
}

function formatOf(args: Args): Format {
  if (args.flag('json')) return 'json';
  return (args.text('output') as Format | undefined) ?? 'table';
}
