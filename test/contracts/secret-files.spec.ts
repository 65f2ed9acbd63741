/** The files of the secured Mosquitto: each secret can be read by the one that needs it, and by no other. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const EXAMPLE = join(__dirname, '../../examples/mosquitto/secure');
const BROKER = 1883;
const APP = 1000;
const PASSWORDS = ['passwords-clients', 'passwords-services'];

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloud-connector-secrets-'));
  chmodSync(folder, 0o755);
  execFileSync(join(EXAMPLE, 'certificates.sh'), [join(folder, 'certificates'), 'my-host']);
  for (const name of ['ingester', 'dispatcher']) {
    writeFileSync(join(folder, `certificates/${name}.password`), 'x', { mode: 0o600 });
  }
  for (const name of PASSWORDS) writeFileSync(join(folder, name), 'x', { mode: 0o600 });
});

afterAll(() => rmSync(folder, { recursive: true }));

function mode(name: string): number {
  return statSync(join(folder, name)).mode & 0o777;
}

it('certificates are public, keys are their owner’s alone', () => {
  expect(mode('certificates')).toBe(0o755);
  for (const name of ['ca', 'ca-services', 'broker', 'ingester', 'client-my-host']) {
    expect([name, mode(`certificates/${name}.crt`), mode(`certificates/${name}.key`)]).toEqual([name, 0o644, 0o600]);
  }
});

it('broker and apps can read what they need, and nothing else that is secret', () => {
  // Only root can give files away; another user gives them to itself, and keeps the modes.
  const root = process.getuid?.() === 0;
  const own = String(process.getuid?.());
  const owners = root ? {} : { BROKER_UID: own, APP_UID: own };
  execFileSync(join(EXAMPLE, 'owners.sh'), [folder], { env: { ...process.env, ...owners } });
  for (const name of PASSWORDS) expect(mode(name)).toBe(0o600);
  if (!root) return;
  const readable = (uid: number, name: string): boolean =>
    spawnSync('/bin/cat', [join(folder, name)], { uid, gid: uid }).status === 0;
  const keys = ['broker', 'ingester', 'dispatcher', 'ca', 'ca-services'].map((name) => `certificates/${name}.key`);
  const apps = ['ingester', 'dispatcher'].flatMap((name) => [
    `certificates/${name}.key`,
    `certificates/${name}.password`,
  ]);
  const secrets = [...new Set([...keys, ...apps, ...PASSWORDS])];
  expect(secrets.filter((name) => readable(BROKER, name))).toEqual(['certificates/broker.key', ...PASSWORDS]);
  expect(secrets.filter((name) => readable(APP, name)).toSorted()).toEqual(apps.toSorted());
  for (const uid of [BROKER, APP]) expect(readable(uid, 'certificates/ca.crt')).toBe(true);
});
