/** Completions, also by the shells that are here. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../../../test/support/cli.js';
import { candidatesFor } from './complete.js';

const values = (...words: string[]): string[] =>
  candidatesFor(words, { XDG_CONFIG_HOME: '/nowhere' }).map(({ value }) => value);

it.each([
  [['co'], ['connections', 'completion']],
  [
    ['connections', ''],
    ['list', 'get', 'summary', 'messages', 'verify', 'disconnect', 'lift', 'forget'],
  ],
  [
    ['connections', 'l'],
    ['list', 'lift'],
  ],
  [['connections', 'list', '--st'], ['--state']],
  [
    ['connections', 'list', '--state', ''],
    ['online', 'offline'],
  ],
  [['connections', 'list', '--state', 'on'], ['online']],
  [['connections', 'list', '--state=on'], ['online']],
  [['connections', 'list', '--state', '=', 'on'], ['online']],
  [['--output', 'json', 'connections', 'list', '--type', 'p'], ['proxy']],
  [['connections', 'list', '--held', '--off'], ['--offline-reason']],
  [
    ['-o', ''],
    ['table', 'json', 'yaml'],
  ],
  [
    ['messages', 'send', 'a-client', '--when-offline', ''],
    ['hold', 'reject'],
  ],
  [
    ['events', 'watch', '--types', 'sweep'],
    ['sweep.started', 'sweep.ended'],
  ],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['messages', 'get', ''], []],
  [['nothing', ''], []],
])('%j is completed by %j', (words, expected) => {
  if (words[0] === 'nothing') expect(values(...words)).toContain('connections');
  else expect(values(...words)).toEqual(expected);
});

it('former names are not offered, and every command has the options of all', () => {
  expect(values('')).not.toContain('send');
  expect(values('stats', '--')).toEqual(['--url', '--token-file', '--profile', '--output', '--json']);
});

describe('in a shell', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-shell-'));
  const env = { ...process.env, PATH: `${dir}:${process.env['PATH'] ?? ''}` };

  beforeAll(() => {
    // In place of the tool: its words, one a line, and a second column that no shell may show.
    writeFileSync(join(dir, 'cloud-connector'), '#!/bin/sh\nfor word; do printf "%s\\tabout\\n" "[$word]"; done\n');
    chmodSync(join(dir, 'cloud-connector'), 0o755);
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const scriptOf = async (shell: string): Promise<string> => (await runCli(['completion', shell])).out;
  const hasShell = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

  it('bash passes the words on up to the cursor, and evaluates none', async () => {
    const line = `${await scriptOf('bash')}
      COMP_WORDS=(cloud-connector connections list --prefix '$(touch ${dir}/evaluated)' '' after)
      COMP_CWORD=5
      _cloud_connector
      printf '%s\\n' "\${COMPREPLY[@]}"
      complete -p cloud-connector`;
    const { stdout, stderr } = spawnSync('bash', ['-c', line], { env, encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout.trimEnd().split('\n')).toEqual([
      ...['[complete]', '[connections]', '[list]', '[--prefix]', `[$(touch ${dir}/evaluated)]`, '[]'],
      'complete -o default -F _cloud_connector cloud-connector',
    ]);
    expect(spawnSync('ls', [join(dir, 'evaluated')]).status).not.toBe(0);
  });

  it.each(['zsh', 'fish'])('%s reads its script', async (shell) => {
    const script = await scriptOf(shell);
    expect(script).toContain('cloud-connector complete');
    // It is tested only if the shell is on this machine.
    if (!hasShell(shell)) return;
    const path = join(dir, `script.${shell}`);
    writeFileSync(path, script);
    expect(spawnSync(shell, ['-n', path], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  });
});
