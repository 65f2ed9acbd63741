/** The commands `keys …` and `check-broker`: programs of the service, which the repository of the service adds to this tool. */
import type { Args } from '../args.js';
import type { LocalContext } from '../context.js';
import { EXIT, UsageError } from '../failures.js';

export function createKey({ args, programs }: LocalContext): Promise<number> {
  const scopes = args.text('scopes') ?? '';
  return keys(
    ['create', '--id', args.need(0), '--scopes', scopes, ...optionsOf(args, 'account', 'file', 'out')],
    programs,
  );
}

export function listKeys({ args, programs }: LocalContext): Promise<number> {
  return keys(['list', ...optionsOf(args, 'file')], programs);
}

export function revokeKey({ args, programs }: LocalContext): Promise<number> {
  return keys(['revoke', '--id', args.need(0), ...optionsOf(args, 'file')], programs);
}

async function keys(args: readonly string[], programs: LocalContext['programs']): Promise<number> {
  if (programs.keys === undefined) throw elsewhere('keys', 'which does not know the file of keys of a gateway');
  // The program ends with 1 if an argument is wrong, or the file cannot be read.
  return (await programs.keys(args)) === 0 ? EXIT.done : EXIT.usage;
}

/** The repository runs the program before this tool starts, so it is missing here. @throws UsageError */
export function checkBroker(): never {
  throw elsewhere('check-broker URL', 'which has no MQTT library');
}

function optionsOf(args: Args, ...names: string[]): string[] {
  return names.flatMap((name) => {
    const value = args.text(name);
    return value === undefined ? [] : [`--${name}`, value];
  });
}

function elsewhere(command: string, why: string): UsageError {
  return new UsageError(
    `${command.split(' ')[0] ?? ''} is not in this package, ${why}. In the repository of the service: ` +
      `npm run build, then npm run cli -- ${command}`,
  );
}
