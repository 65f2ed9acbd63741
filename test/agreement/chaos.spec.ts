/**
 * Clients that come, go, take each other over and die, against round-robin lanes: when they pause, the registry equals
 * what the broker retains, for every client. `CHAOS_SEED` replays a run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { differences } from './retained-store.js';

const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 60;
const ROUNDS = 8;

/** mulberry32: small, and the same everywhere. */
function randomOf(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One client's life: at each step it comes, or does something it may do while it is there. */
async function live(url: string, id: string, version: 4 | 5, random: () => number): Promise<TestClient[]> {
  const connections: TestClient[] = [];
  let client: TestClient | undefined;
  for (let step = 0; step < ROUNDS; step++) {
    const choice = random();
    if (client === undefined || choice < 0.3) {
      // With a connection that still stands: a take-over, whose will the broker publishes in between.
      client = await TestClient.connect(url, id, version);
      connections.push(client);
      await client.shakeHands({ fqdn: `${id}-${step}` });
    } else if (choice < 0.5) await client.shakeHands({ fqdn: `${id}-${step}` });
    else if (choice < 0.7) {
      client.vanish();
      client = undefined;
    } else if (choice < 0.85) {
      await client.sayGoodbye();
      client = undefined;
    } else if (choice < 0.95) {
      await client.publish(envelope('offline'), true);
      await client.mqtt.endAsync();
      client = undefined;
    } else {
      await client.publish('', true);
      await client.mqtt.endAsync();
      client = undefined;
    }
  }
  return connections;
}

describe.each([1, 2, 4])('with %i lanes', (lanes) => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-agreement-'));

  afterEach(async () => {
    await stopAll();
    rmSync(dir, { recursive: true });
  });

  it(`registry and broker agree about every client (CHAOS_SEED=${seed})`, async () => {
    const env = { INTAKE_LANES: `${lanes}`, LEASE_TIME: '2s', LOG_LEVEL: 'warn' };
    const { mosquitto, gateway, ingester } = await startStack({ dir, env });
    const ids = Array.from({ length: CLIENTS }, (_, i) => `chaos-${i}`);
    const lives = await Promise.all(
      ids.map((id, i) => live(mosquitto.url, id, i % 2 === 0 ? 4 : 5, randomOf(seed + i))),
    );
    await waitUntil(
      async () => {
        const found = await differences(mosquitto.url, gateway.url, ids);
        if (found.length > 0) throw new Error(found.join('\n'));
      },
      { what: `agreement (seed ${seed})`, timeoutMs: 10_000 },
    );
    const metrics = await (await fetch(`${ingester.url}/metrics`)).text();
    const doubted = Number(/^cloud_connector_doubts_total\{reason="lanes"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
    // One lane keeps the order; of several, each client is doubted more than once.
    expect(doubted > 0).toBe(lanes > 1);
    for (const client of lives.flat()) client.mqtt.end(true);
  }, 90_000);
});
