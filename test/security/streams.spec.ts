/** Event streams outlive the request that opened them; the right to listen must not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { EventListener } from '../support/event-listener.js';
import { startIssuer, type Issuer } from './support/issuer.js';
import { KeyRing, startGateway, type RunningGateway } from './support/gateway.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-streams-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const [greedy, other, leaver] = ['greedy', 'other', 'leaver'].map((id) =>
  ring.add({ id, scopes: ['events:read'] }),
) as [string, string, string];
let issuer: Issuer;
let gateway: RunningGateway;

beforeAll(async () => {
  const [redis, started] = await Promise.all([startRedis({ dir }), startIssuer()]);
  issuer = started;
  gateway = await startGateway(dir, 'gateway', {
    REDIS_URL: redis.url,
    API_KEYS_FILE: ring.path,
    EVENT_STREAMS_PER_KEY: '3',
    ...issuer.settings,
  });
}, 60_000);

afterAll(async () => {
  await issuer.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
}, 30_000);

const open = (credentials: string): Promise<EventListener> =>
  EventListener.open(gateway.url, {}, undefined, credentials);

async function untilCutOff(listener: EventListener): Promise<void> {
  await listener.until(() => expect(listener.ended).toBe(true));
  expect(listener.received.at(-1)).toMatchObject({ event: 'closed', data: { reason: 'credentials' } });
}

it('one key cannot take all streams, and its places are free again when they close', async () => {
  const held = await Promise.all([open(greedy), open(greedy), open(greedy)]);
  await expect(open(greedy)).rejects.toThrow('429');
  const another = await open(other);
  held[0].close();
  const again = await waitUntil(() => open(greedy), { what: 'a free place' });
  for (const listener of [...held, another, again]) listener.close();
});

it('a key that is revoked takes its streams with it, and no others', async () => {
  const [cut, kept] = await Promise.all([open(leaver), open(other)]);
  ring.revoke('leaver');
  await untilCutOff(cut);
  await expect(open(leaver)).rejects.toThrow('401');
  expect(kept.ended).toBe(false);
  kept.close();
});

it('a token takes its streams with it when it ends', async () => {
  const exp = Math.floor(Date.now() / 1000) + 3;
  await untilCutOff(await open(await issuer.sign({ scope: 'events:read', exp })));
});
