/** The example devices with the real service and the secured broker of the examples: over TLS, with user and password. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessageBody } from '../../apps/api-gateway/src/messages/message.dto.js';
import { startApp, startRedis, stopAll } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { SecuredMosquitto } from '../support/secured-mosquitto.js';
import { selectedExamples } from './examples.mjs';
import { killAll, Program } from './program.mjs';

const EXAMPLES = selectedExamples().map(([language, example], i) => ({ ...example, language, id: `device-${i}` }));
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-devices-'));
let broker: SecuredMosquitto;
let api: Api;
const outcomes = new Map<string, PromiseSettledResult<void> | undefined>();

beforeAll(async () => {
  const ids = EXAMPLES.map(({ id }) => id);
  const [redis, secured] = await Promise.all([startRedis({ dir }), SecuredMosquitto.start(dir, ids)]);
  broker = secured;
  const env = { REDIS_URL: redis.url };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env: { ...env, ...broker.settingsOf('ingester') } }),
    startApp('dispatcher', { dir, env: { ...env, ...broker.settingsOf('dispatcher') } }),
  ]);
  api = new Api(gateway.url);
  for (const { prepare } of EXAMPLES) expect(prepare()).toBeUndefined();
  // They wait more than they work: together they take as long as one.
  const settled = await Promise.allSettled(EXAMPLES.map(play));
  for (const [index, { language }] of EXAMPLES.entries()) outcomes.set(language, settled[index]);
});

afterAll(async () => {
  killAll();
  await broker.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function call(id: string, directive: string): Promise<MessageBody> {
  const { body } = await api.send(id, { directive, payload: { job: 7 } }, { prefer: 'wait=30' });
  return (await api.call<MessageBody>('GET', `/v1/messages/${body.message_id}`)).body;
}

async function play({ id, command }: (typeof EXAMPLES)[number]): Promise<void> {
  const authority = broker.file('ca.crt');
  const program = new Program(command, {
    ...{ CLIENT_ID: id, STATE_DIR: dir, MQTT_URL: broker.urlOf(id) },
    ...{ SSL_CERT_FILE: authority, NODE_EXTRA_CA_CERTS: authority },
  });
  const { handshake_message_id: first } = await api.untilConnection(id, ({ state }) => state === 'online');
  expect(await call(id, 'demo:ping')).toMatchObject({
    status: 'answered',
    answer: { payload: { pong: { job: 7 } } },
  });
  expect(await call(id, 'demo:work')).toMatchObject({
    status: 'answered',
    progress: { percent: expect.any(Number) as number },
  });
  const failed = await call(id, 'demo:dance');
  expect(failed.status).toBe('failed');
  expect(failed.status_history.at(-1)?.details).toContain('demo:dance');

  await api.call('POST', `/v1/connections/${id}/force-disconnect`, { reconnect_after: 'PT1S' });
  await api.untilConnection(id, (one) => one.state === 'online' && one.handshake_message_id !== first);
  expect(await call(id, 'demo:ping')).toMatchObject({ status: 'answered' });

  program.signal('SIGTERM');
  await api.untilConnection(id, (one) => one.offline_reason === 'goodbye');
  await program.ended;
}

it.each(EXAMPLES)(
  'the device in $language answers, comes back after a disconnect, and says goodbye',
  ({ language }) => {
    const outcome = outcomes.get(language);
    if (outcome?.status === 'rejected') throw outcome.reason;
    expect(outcome?.status).toBe('fulfilled');
  },
);
