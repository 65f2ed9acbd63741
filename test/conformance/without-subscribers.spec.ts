/**
 * The broker and the service are restarted, and the devices come back before the service. Mosquitto 2.0.11 has forgotten the shared
 * subscription of the lane, and 2.0.22 and later keep it: either way the answers that the devices give then arrive in the end.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { selectedExamples } from './examples.mjs';
import { killAll, Program } from './program.mjs';

// With paho-mqtt 1.6 the device in Python speaks MQTT 3.1.1, in which it cannot know that nobody got its answer.
const EXAMPLES = selectedExamples().filter(([language]) => language !== 'Python');
const LOGGED = ['connection_messages false', 'log_type debug'];
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-subscribers-'));

beforeAll(() => {
  for (const [, { prepare }] of EXAMPLES) expect(prepare()).toBeUndefined();
});
afterAll(async () => {
  killAll();
  await stopAll();
  rmSync(dir, { recursive: true });
});

it('answers that come before the service are not lost when the broker restarts', async () => {
  const ids = EXAMPLES.map((_, index) => `device-${index}`);
  const [redis, mosquitto] = await Promise.all([
    startRedis({ dir }),
    startMosquitto({ dir, persist: true, config: LOGGED }),
  ]);
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url };
  const ingesterOf = () => startApp('status-ingester', { dir, env });
  const [gateway, ingester] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    ingesterOf(),
    startApp('dispatcher', { dir, env }),
  ]);
  const api = new Api(gateway.url);
  for (const [index, [, { command }]] of EXAMPLES.entries())
    new Program(command, { CLIENT_ID: ids[index] ?? '', STATE_DIR: dir, MQTT_URL: mosquitto.url });
  await Promise.all(ids.map((id) => api.untilConnection(id, ({ state }) => state === 'online')));

  await ingester.stop();
  await mosquitto.stop();
  const restarted = await startMosquitto({ dir, persist: true, port: mosquitto.port, config: LOGGED });
  const sent = await Promise.all(ids.map((id) => api.send(id, { directive: 'demo:ping', payload: { job: 7 } })));
  // The handshake, and the answer. To subscribe to the topics would hide what happens.
  await waitUntil(() => {
    const log = readFileSync(restarted.log, 'utf8').slice(restarted.logFrom);
    for (const id of ids) {
      const pubacks = log.split('\n').filter((line) => line.includes(`Sending PUBACK to ${id} `));
      if (pubacks.length < 2) throw new Error(`${id} has ${pubacks.length} PUBACKs`);
    }
  });
  await ingesterOf();
  for (const { body } of sent) await api.untilStatus(body.message_id, 'answered');
});
