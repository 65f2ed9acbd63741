/** The example device says how it is started. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const DEVICE = join(__dirname, '../../examples/device/device.mjs');

function device(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [DEVICE, ...args], { encoding: 'utf8' });
}

it.each(['--help', '-h'])('%s prints the usage with each option', (option) => {
  const { status, stdout, stderr } = device(option);
  expect([status, stderr]).toEqual([0, '']);
  for (const each of ['--id', '--url', '--proxy', '--answers', '--help']) expect(stdout).toContain(`  ${each} `);
});

it('an unknown option is named, and the usage follows', () => {
  const { status, stdout, stderr } = device('--user', 'me');
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^Unknown option '--user'.*\n\nA device that stays connected/);
  expect(stderr).not.toContain(' at ');
});

it.each(['127.0.0.1:1883', 'localhost:1883'])('an address without mqtt:// is refused: %s', (url) => {
  const { status, stderr } = device('--url', url);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^the address of the broker is not of the form mqtt:\/\/host:port\n/);
});
