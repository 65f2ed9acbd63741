/** What can follow the words of a command line: the answer to `cloud-connector complete`, which the shells call. */
import type { Environment } from './args.js';
import { COMMANDS, EVERYWHERE, GROUPS } from './catalogue/index.js';
import type { ArgumentSpec, OptionSpec } from './command.js';
import { readProfiles } from './profiles.js';
import { EVENT_TYPES } from './values.js';

export interface Candidate {
  value: string;
  about: string;
}

/** @param words those after the name of the tool; the last one is being written, and may be empty */
export function candidatesFor(words: readonly string[], env: Environment): Candidate[] {
  // A shell may take `--output=json` apart.
  const known = words.flatMap((word) => (/^--[\w-]+=/.test(word) ? splitOption(word) : word === '=' ? [] : [word]));
  const current = known.at(-1) ?? '';
  const { path, positionals, awaiting } = read(known.slice(0, -1));
  if (awaiting !== undefined) return beginningWith(current, valuesOf(awaiting, env));
  const command = COMMANDS.find(({ path: one }) => one === path);
  if (current.startsWith('-')) return beginningWith(current, optionsOf([...(command?.options ?? []), ...EVERYWHERE]));
  if (command === undefined) return beginningWith(current, below(path));
  return beginningWith(current, argumentValues(command.arguments?.[positionals] ?? command.arguments?.at(-1), env));
}

function splitOption(word: string): string[] {
  const at = word.indexOf('=');
  return [word.slice(0, at), word.slice(at + 1)];
}

interface Read {
  /** The command or group that the words name so far. */
  path: string;
  positionals: number;
  /** The option whose value comes next. */
  awaiting: OptionSpec | undefined;
}

function read(words: readonly string[]): Read {
  const found: Read = { path: '', positionals: 0, awaiting: undefined };
  for (const word of words) {
    if (found.awaiting !== undefined) {
      found.awaiting = undefined;
    } else if (word.startsWith('-')) {
      const option = optionNamed(word, found.path);
      found.awaiting = option?.flags.includes('<') === true ? option : undefined;
    } else {
      const nested = found.path === '' ? word : `${found.path} ${word}`;
      const isName = COMMANDS.some(({ path }) => path === nested || path.startsWith(`${nested} `));
      if (isName) found.path = nested;
      else found.positionals++;
    }
  }
  return found;
}

function optionNamed(word: string, path: string): OptionSpec | undefined {
  const own = COMMANDS.find(({ path: one }) => one === path)?.options ?? [];
  return [...own, ...EVERYWHERE].find(({ flags }) => namesOf(flags).includes(word));
}

/** `-o` and `--output` of `-o, --output <FORMAT>`. */
function namesOf(flags: string): string[] {
  return flags.replace(/ <.*$/, '').split(', ');
}

function optionsOf(options: readonly OptionSpec[]): Candidate[] {
  return options.map(({ flags, about }) => ({ value: namesOf(flags).at(-1) ?? '', about }));
}

/** Groups and commands that follow a group, or begin a command line. */
function below(path: string): Candidate[] {
  const depth = path === '' ? 0 : path.split(' ').length;
  const visible = COMMANDS.filter(
    ({ former, path: one }) => former !== true && `${one} `.startsWith(path === '' ? '' : `${path} `),
  );
  const names = new Map<string, string>();
  for (const { path: one, summary } of visible) {
    const parts = one.split(' ');
    const name = parts[depth];
    if (name === undefined) continue;
    const group = parts.length > depth + 1 ? GROUPS.find((each) => each.name === name) : undefined;
    names.set(name, group?.summary ?? summary);
  }
  return Array.from(names, ([value, about]) => ({ value, about }));
}

function valuesOf({ flags, choices = [], about }: OptionSpec, env: Environment): Candidate[] {
  const name = namesOf(flags).at(-1);
  if (name === '--profile') return profileNames(env);
  const values = name === '--types' ? EVENT_TYPES : choices;
  return values.map((value) => ({ value, about }));
}

function argumentValues(argument: ArgumentSpec | undefined, env: Environment): Candidate[] {
  if (argument?.name === 'PROFILE') return profileNames(env);
  return (argument?.choices ?? []).map((value) => ({ value, about: argument?.about ?? '' }));
}

function profileNames(env: Environment): Candidate[] {
  return Object.entries(readProfiles(env).profiles).map(([value, { url }]) => ({ value, about: url }));
}

function beginningWith(text: string, candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(({ value }) => value.startsWith(text));
}
