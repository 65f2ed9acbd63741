/** The commands as commander takes them: it parses a command line, finds what was meant, and writes the help. */
import { Argument, Command, CommanderError, Option } from 'commander';
import { Args } from './args.js';
import { COMMANDS, EVERYWHERE, GROUPS } from './catalogue/index.js';
import type { ArgumentSpec, CommandSpec, OptionSpec } from './command.js';
import { UsageError } from './failures.js';
import type { Colour } from './colour.js';
import { VERSION } from './version.js';

const NAME = 'cloud-connector';

const EXIT_CODES = `Exit codes:
  0   done
  1   the message failed, expired, was cancelled or not answered in time, the
      wait ran out, a message of a file was refused, or a sweep was not complete
  2   wrong usage: an option, an argument, a file
  3   refused by the service, or it cannot be reached
  70  a fault of this tool

Help of a command, with examples: ${NAME} help COMMAND`;

/** What a command line asks for: a command, or a text such as the help. */
export type Parsed = { spec: CommandSpec; args: Args } | { text: string };

export interface HelpStyle {
  columns: number;
  colour: Colour;
}

/** @throws UsageError */
export function parse(argv: readonly string[], style: HelpStyle): Parsed {
  const texts: string[] = [];
  let chosen: Parsed | undefined;
  const program = build(style, texts, (found) => (chosen = found));
  const line = helpAsked(argv, program) ?? (argv.length === 0 ? ['--help'] : argv);
  try {
    program.parse(line, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // A group without a default command shows its help as an error.
    if (error.exitCode === 0 || error.code === 'commander.help') return { text: texts.join('') };
    throw usageError(error, line, program);
  }
  if (chosen === undefined) throw new Error(`commander found no command in ${JSON.stringify(argv)}`);
  return chosen;
}

/** The command of this path, with its help. */
export function helpOf(path: string, style: HelpStyle): string {
  const texts: string[] = [];
  const command = find(
    build(style, texts, () => undefined),
    path.split(' '),
  );
  command?.outputHelp();
  return texts.join('');
}

function build(style: HelpStyle, texts: string[], choose: (found: Parsed) => void): Command {
  const program = prepare(new Command(NAME), style, texts)
    .description('Sends messages to clients, and shows connections, messages and events of Cloud Connector.')
    .version(VERSION, '-V, --version', 'print the version')
    .addHelpText('after', `\n${EXIT_CODES}`);
  for (const option of EVERYWHERE) program.addOption(optionOf(option));
  const groups = new Map<string, Command>();
  for (const { name, summary } of GROUPS) {
    const group = prepare(program.command(name), style, texts).summary(summary).description(`${summary}.`);
    groups.set(name, group.usage('COMMAND [options]'));
  }
  for (const spec of COMMANDS) addCommand(program, groups, spec, { style, texts, choose });
  return program;
}

interface Parts {
  style: HelpStyle;
  texts: string[];
  choose: (found: Parsed) => void;
}

function addCommand(
  program: Command,
  groups: ReadonlyMap<string, Command>,
  spec: CommandSpec,
  { style, texts, choose }: Parts,
): void {
  const [first = '', second] = spec.path.split(' ');
  const parent = second === undefined ? program : groups.get(first);
  if (parent === undefined) throw new Error(`there is no group ${first}`);
  const how = { isDefault: spec.isDefault === true, hidden: spec.former === true };
  const command = prepare(parent.command(second ?? first, how), style, texts)
    .summary(spec.summary)
    .description(spec.details === undefined ? `${spec.summary}.` : `${spec.summary}.\n\n${spec.details}`)
    .addHelpText('after', `\n${style.colour('bold', 'Examples:')}\n${exampleLines(spec)}`);
  for (const argument of spec.arguments ?? []) command.addArgument(argumentOf(argument));
  for (const option of spec.options ?? []) command.addOption(optionOf(option));
  command.action(() => choose({ spec, args: new Args(command.optsWithGlobals(), command.args) }));
}

function exampleLines({ examples }: CommandSpec): string {
  return examples.map((example) => `  ${NAME} ${example}`).join('\n');
}

/** What all commands have in common: texts are collected, and commander does not end the process. */
function prepare(command: Command, { columns, colour }: HelpStyle, texts: string[]): Command {
  const write = (text: string): number => texts.push(text);
  return command
    .helpCommand(false)
    .helpOption('-h, --help', 'show this help')
    .exitOverride()
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (child) => child.name(),
      styleTitle: (title) => colour('bold', title),
    })
    .configureOutput({
      writeOut: write,
      writeErr: write,
      outputError: () => undefined,
      getOutHelpWidth: () => columns,
      getErrHelpWidth: () => columns,
      // `colour` knows whether there are colours.
      getOutHasColors: () => true,
      getErrHasColors: () => true,
    });
}

function optionOf({ flags, about, choices, repeatable, required }: OptionSpec): Option {
  const option = new Option(flags, about);
  if (choices !== undefined) option.choices(choices);
  if (repeatable === true)
    option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  if (flags === '--json') option.conflicts('output');
  return option.makeOptionMandatory(required === true);
}

function argumentOf({ name, about, choices, optional, variadic }: ArgumentSpec): Argument {
  const dots = variadic === true ? '...' : '';
  const argument = new Argument(optional === true ? `[${name}${dots}]` : `<${name}${dots}>`, about);
  return choices === undefined ? argument : argument.choices(choices);
}

/** `help messages send` is `messages send --help`. @throws UsageError if there is no such command */
function helpAsked(argv: readonly string[], program: Command): string[] | undefined {
  const isFlag = (word: string): boolean => word === '--help' || word === '-h';
  const [first = '', ...rest] = argv;
  if (first === 'help') {
    const path = rest.filter((word) => !isFlag(word));
    if (find(program, path) === undefined) throw unknownCommand(path, program);
    return [...path, '--help'];
  }
  // Without this check, commander shows its general help for a command that it does not know.
  if (argv.some(isFlag) && first !== '' && !first.startsWith('-') && find(program, [first]) === undefined) {
    throw unknownCommand([first], program);
  }
  return undefined;
}

function find(program: Command, path: readonly string[]): Command | undefined {
  return path.reduce<Command | undefined>(
    (command, name) => command?.commands.find((child) => child.name() === name),
    program,
  );
}

function usageError(error: CommanderError, line: readonly string[], program: Command): UsageError {
  // Without the options of the program and their values, unless one of them is wrong.
  const rest = program.args.length > 0 ? program.args : line;
  const words = rest.filter((word) => !word.startsWith('-'));
  const command = find(program, words.slice(0, 2)) ?? find(program, words.slice(0, 1));
  // A name that a group does not know is an argument too many for its default command.
  const isGroup = command !== undefined && command.commands.length > 0;
  if (error.code === 'commander.excessArguments' && isGroup) return unknownCommand(words.slice(0, 2), program);
  if (error.code === 'commander.unknownCommand') return unknownCommand(words.slice(0, isGroup ? 2 : 1), program);
  return new UsageError(choicesNamed(error.message.replace(/^error: /, '')), {
    path: command === undefined ? '' : pathOf(command),
  });
}

/** In the words of the other errors: `SHELL must be bash, zsh or fish, not "tcsh"`. */
function choicesNamed(text: string): string {
  const found = WRONG_OPTION.exec(text) ?? WRONG_ARGUMENT.exec(text);
  const { name = '', value = '', choices = '' } = (found?.groups ?? {}) as Partial<Record<string, string>>;
  return found === null ? text : `${name} must be ${choices.replace(/, ([^,]*)$/, ' or $1')}, not "${value}"`;
}

const WRONG_OPTION =
  /^option '(?:-\w, )?(?<name>--[\w-]+)[^']*' argument '(?<value>.*)' is invalid\. Allowed choices are (?<choices>.*)\.$/s;
const WRONG_ARGUMENT =
  /^command-argument value '(?<value>.*)' is invalid for argument '(?<name>\w+)'\. Allowed choices are (?<choices>.*)\.$/s;

/** The words after the name of the tool; empty for the tool itself. */
function pathOf(command: Command): string {
  return command.parent === null ? '' : `${pathOf(command.parent)} ${command.name()}`.trimStart();
}

/** The commands with this name, of all groups. */
function inGroups(name: string): string {
  const found = COMMANDS.filter(({ path, former }) => former !== true && path.endsWith(` ${name}`));
  return found.length === 0 ? '' : `\n(Did you mean ${found.map(({ path }) => path).join(' or ')}?)`;
}

/** With the command that was probably meant. */
function unknownCommand(path: readonly string[], program: Command): UsageError {
  const group = find(program, path.slice(0, -1)) ?? program;
  const candidates = new Command().exitOverride().configureOutput({ outputError: () => undefined });
  for (const child of group.createHelp().visibleCommands(group)) candidates.command(child.name());
  let text = '';
  try {
    candidates.parse([path.at(-1) ?? ''], { from: 'user' });
  } catch (error) {
    text = /\n.*$/.exec((error as Error).message)?.[0] ?? '';
  }
  if (text === '' && group.parent === null) text = inGroups(path.at(-1) ?? '');
  return new UsageError(`there is no command "${path.join(' ')}"${text}`, {
    path: pathOf(group),
  });
}
