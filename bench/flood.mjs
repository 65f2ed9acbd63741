/**
 * `npm run bench -- flood [--messages 200000] [--samples 400]`
 *
 * How one client that publishes as fast as the broker accepts slows others down: the time from their handshakes to the
 * `handshake-response`, which is sent after the commit. Without a flood, with a flood that is throttled by the client rate
 * limit, and with one that is not.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startApp, startMosquitto, startRedis, stopAll } from '../scripts/stack.mjs';
import { CalmClient } from './calm-client.mjs';
import { cpuSeconds, machine, metric, percentile, runScript } from './measure.mjs';

const CALM = 20;
const EVERY_MS = 5;
const NO_SHARES = { CLIENT_RATE: '1000000', CLIENT_BURST: '1000000', CLIENT_BYTES_RATE: '1073741824' };

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: { messages: { type: 'string', default: '200000' }, samples: { type: 'string', default: '400' } },
  });
  const [messages, samples] = [Number(values.messages), Number(values.samples)];
  console.log(machine());
  console.log(`${CALM} clients, a handshake every ${EVERY_MS} ms; a flood of ${messages} handshakes of one client`);
  console.table({
    'no flood': await measure({ messages: 0, samples, settings: {} }),
    'a flood, throttled': await measure({ messages, samples, settings: {} }),
    'a flood, not throttled': await measure({ messages, samples, settings: NO_SHARES }),
  });
}

/** @param {{ messages: number, samples: number, settings: Record<string, string> }} options */
async function measure({ messages, samples, settings }) {
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  try {
    const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
    const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LOG_LEVEL: 'error', HANDSHAKE_RESPONSE: 'live' };
    const ingester = await startApp('status-ingester', { dir, env: { ...env, ...settings } });
    const calm = await Promise.all(
      Array.from({ length: CALM }, (_, i) => CalmClient.connect(mosquitto.url, `calm-${i}`)),
    );
    const latencies = async () => {
      /** @type {Promise<number>[]} */
      const answers = [];
      for (let n = 0; n < samples; n++) {
        answers.push(/** @type {CalmClient} */ (calm[n % CALM]).shakeHands());
        await sleep(EVERY_MS);
      }
      return Promise.all(answers);
    };
    await latencies();
    const cpu = cpuSeconds(ingester.pid);
    const startedAt = performance.now();
    const flooding = messages === 0 ? undefined : runScript('load.mjs', [mosquitto.url, messages, 1, 0]);
    if (messages > 0) await sleep(1000);
    const times = await latencies();
    await flooding;
    const seconds = (performance.now() - startedAt) / 1000;
    const ms = (/** @type {number} */ p) => Number(percentile(times, p).toFixed(1));
    const row = {
      'p50 ms': ms(0.5),
      'p99 ms': ms(0.99),
      'published/s': Math.round(messages / seconds),
      cut: await metric(ingester.url, 'cloud_connector_intake_throttled_messages_total'),
      'ingester CPU s': Number((cpuSeconds(ingester.pid) - cpu).toFixed(1)),
    };
    for (const { mqtt } of calm) mqtt.end(true);
    return row;
  } finally {
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}
