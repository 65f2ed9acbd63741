/** `npm run conformance` as a command: what it prints, and its exit codes. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/setup.mjs';
import { RULES } from './rules.mjs';

const DEVICE = `exec ${process.execPath} ${join(ROOT, 'test/conformance/broken-device.mjs')}`;
const RULES_OF_CONNECT = ['--rule', 'client-id', '--rule', 'keep-alive'];

function run(args: string[], fault = ''): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, FAULTS: fault, NO_COLOR: '1', FORCE_COLOR: undefined };
  return spawnSync(process.execPath, [join(ROOT, 'test/conformance/run.mjs'), ...args], { encoding: 'utf8', env });
}

it('says of each rule whether it is kept, and what was seen if not', () => {
  const { status, stdout } = run(['--command', DEVICE, ...RULES_OF_CONNECT], 'no-keep-alive');
  expect(stdout.split('\n')).toEqual([
    'ok  client-id: the MQTT client id is CLIENT_ID',
    'broken  keep-alive: the keep-alive is 30 to 60 seconds',
    '    docs/protocol.md, "Connecting". Seen: the keep-alive is 0 s',
    '',
    '1 of 2 rules are kept.',
    '',
  ]);
  expect(status).toBe(1);
});

it('exits with 0 if all rules are kept, and prints JSON', () => {
  const { status, stdout } = run(['--command', DEVICE, ...RULES_OF_CONNECT, '--output', 'json'], 'no-will');
  expect(JSON.parse(stdout)).toEqual([
    { rule: 'client-id', outcome: 'ok' },
    { rule: 'keep-alive', outcome: 'ok' },
  ]);
  expect(status).toBe(0);
});

it('says what a program printed that does not come', () => {
  const { status, stdout } = run(['--command', 'echo no such device']);
  expect(stdout).toContain(
    'No rule was reached: the program ended before a connection came\n    The program printed last: no such device\n',
  );
  expect(stdout).not.toContain('client-id');
  expect(status).toBe(1);
});

it('sends the payload that the device can use', () => {
  const options = ['--rule', 'answer', '--payload', '{"disk":"sda"}', '--output', 'json'];
  const { stdout } = run(['--command', DEVICE, ...options], 'fails-at-work');
  expect(JSON.parse(stdout)).toMatchObject([
    {
      rule: 'answer',
      outcome: 'broken',
      seen: expect.stringContaining(String.raw`failed at {\"disk\":\"sda\"}`) as string,
    },
  ]);
});

it('names the address that it listens on, and leaves out rules', () => {
  const options = ['--listen', '127.0.0.2', '--rule', 'client-id', '--rule', 'keep-alive', '--skip', 'keep-alive'];
  const { stdout } = run(['--command', 'echo $MQTT_URL', ...options, '--output', 'json']);
  expect(JSON.parse(stdout)).toMatchObject([
    { rule: 'client-id', outcome: 'not-reached', printed: expect.stringContaining('mqtt://127.0.0.2:') as string },
  ]);
});

it('prints its options', () => {
  const { status, stdout, stderr } = run(['--help']);
  expect(stdout).toContain('--timeout SECONDS');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

it('lists the rules', () => {
  const { status, stdout } = run(['--list', '--output', 'json']);
  expect(JSON.parse(stdout)).toEqual(RULES);
  expect(run(['--list']).stdout.split('\n')).toHaveLength(RULES.length + 1);
  expect(status).toBe(0);
});

it.each([
  [[], '--command is missing'],
  [['--command', 'x', '--rule', 'y'], 'there is no rule y; --list prints the rules'],
  [
    ['--command', 'x', '--timeout', 'soon'],
    '--timeout must be a number of seconds, 20 to 3600: a device may pause so long',
  ],
  [['--command', 'x', '--timeout', '19'], '--timeout must be a number of seconds, 20 to 3600'],
  [
    ['--command', 'x', '--payload', '{job:7}'],
    `--payload must be JSON, in quotes for the shell, such as '{"job":7}': `,
  ],
  [['--command', 'x', '--at-once', '0'], '--at-once must be a whole number, 1 or more'],
  [
    ['--command', 'x', '--listen', '0.0.0.0'],
    '--listen must be one IP address of this machine that the device can reach',
  ],
  [['--command', 'x', '--listen', 'localhost'], '--listen must be one IP address of this machine'],
  // Reserved for documents: no machine has it.
  [['--command', 'x', '--listen', '192.0.2.7'], '--listen 192.0.2.7 cannot be used: '],
  [['--command', 'x', '--skip', 'y'], 'there is no rule y'],
  [['--command', 'x', '--rule', 'answer', '--skip', 'answer'], '--skip leaves no rule to check'],
  [['--command', 'x', '--output', 'xml'], '--output must be text or json'],
])('exits with 2 for %j', (args, words) => {
  const { status, stderr } = run(args);
  expect(stderr).toContain(words);
  expect(status).toBe(2);
});

it('names sections that the protocol has, and the numbers of their lists', () => {
  const sections = readFileSync(join(ROOT, 'docs/protocol.md'), 'utf8').split(/^#+ /m);
  const numbersOf = (heading: string) => {
    const text = sections.find((one) => one.startsWith(`${heading}\n`));
    return text === undefined ? undefined : Array.from(text.matchAll(/^(\d+)\. /gm), ([, number]) => number);
  };
  for (const { section, number } of RULES)
    expect({ section, numbers: numbersOf(section) }).toEqual({
      section,
      // A section that has a list: its rules say which of it they are.
      numbers: number === undefined ? [] : (expect.arrayContaining(number.match(/\d+/g) ?? ['none']) as string[]),
    });
});

it('docs/conformance.md lists the rules', () => {
  const page = readFileSync(join(ROOT, 'docs/conformance.md'), 'utf8');
  const rows = Array.from(
    page
      .slice(page.indexOf('## The rules'))
      .matchAll(/^\| `([a-z-]+)` +\| (.*?) +\| \[(.*?)\]\(protocol.md#(.*?)\)(.*?) +\|$/gm),
    ([, id, text, section, anchor, number]) => ({ id, text, section, anchor, number }),
  );
  expect(rows).toEqual(
    RULES.map(({ id, text, section, number }) => ({
      ...{ id, text, section, anchor: section.toLowerCase().replaceAll(' ', '-') },
      number: number === undefined ? '' : `, ${number}`,
    })),
  );
});
