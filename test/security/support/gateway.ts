/** Gateways with the settings of production, on loopback. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { HOST, freePort, launch, startApp, type Part } from '../../../scripts/stack.mjs';
import { mintKey, type KeyEntry } from '../../../apps/api-gateway/src/access/api-keys.js';
import { ROOT } from '../../../scripts/setup.mjs';

export type RunningGateway = Awaited<ReturnType<typeof startGateway>>;

/** A key file, and the keys in it by their ids. */
export class KeyRing {
  private readonly entries: KeyEntry[] = [];
  private readonly keys = new Map<string, string>();

  constructor(readonly path: string) {
    this.write();
  }

  add(about: Omit<KeyEntry, 'sha256'>): string {
    const { key, entry } = mintKey(about);
    this.entries.push(entry);
    this.keys.set(about.id, key);
    this.write();
    return key;
  }

  revoke(id: string): void {
    this.entries.splice(
      this.entries.findIndex((entry) => entry.id === id),
      1,
    );
    this.write();
  }

  /** Every key that was ever in the file. */
  get all(): string[] {
    return [...this.keys.values()];
  }

  write(text = JSON.stringify({ keys: this.entries })): void {
    writeFileSync(`${this.path}.new`, text);
    renameSync(`${this.path}.new`, this.path);
  }
}

/** `management`: URL of its management port. */
export async function startGateway(
  dir: string,
  name: string,
  env: Record<string, string>,
): Promise<Awaited<ReturnType<typeof startApp>> & { management: string }> {
  const MANAGEMENT_PORT = String(await freePort());
  const gateway = await startApp('api-gateway', {
    dir,
    name,
    env: { NODE_ENV: 'production', MANAGEMENT_PORT, ...env },
  });
  return Object.assign(gateway, { management: `http://${HOST}:${MANAGEMENT_PORT}` });
}

/** Starts a gateway that must refuse to start. @returns its log */
export async function refusedStart(dir: string, name: string, env: Record<string, string>): Promise<string> {
  const part: Part = launch(name, process.execPath, [join(ROOT, 'dist/apps/api-gateway/src/main.js')], {
    dir,
    env: { NODE_ENV: undefined, HOST: undefined, PORT: '0', REDIS_URL: 'redis://127.0.0.1:1', ...env },
  });
  const code = await part.ended;
  if (code !== 1) throw new Error(`the gateway ended with ${code}`);
  return readFileSync(part.log, 'utf8');
}

/** Sends exactly these bytes. @returns what comes back until the other side closes, or `until` is in it */
export function rawRequest(port: number, text: string, until = '\r\n\r\n'): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, HOST, () => socket.write(text));
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer to ${text.slice(0, 80)}`)));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      if (answer.includes(until)) socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}
