/** An event stream lives long; it ends when the credentials that opened it do. */
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
const both = ring.add({ id: 'both', scopes: ['events:read', 'messages:read'] });
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
});

afterAll(async () => {
  await issuer.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
});

const open = (credentials: string): Promise<EventListener> =>
  EventListener.open(gateway.url, {}, undefined, credentials);

async function untilEnded(listener: EventListener): Promise<void> {
  await listener.until('the stream has ended', () => expect(listener.ended).toBe(true));
  expect(listener.received.at(-1)).toMatchObject({ event: 'closed', data: { reason: 'credentials' } });
}

it('a key cannot open more than EVENT_STREAMS_PER_KEY streams, and can open another one when one has closed', async () => {
  const held = await Promise.all([open(greedy), open(greedy), open(greedy)]);
  await expect(open(greedy)).rejects.toThrow('429');
  const another = await open(other);
  held[0].close();
  const again = await waitUntil(() => open(greedy), { what: 'the closed stream no longer counts' });
  for (const listener of [...held, another, again]) listener.close();
});

it('messages of clients are streamed only to callers that may read messages', async () => {
  for (const types of ['client.message', 'client.*', 'message.status,client.message']) {
    const opened = (key: string): Promise<EventListener> => EventListener.open(gateway.url, { types }, undefined, key);
    await expect(opened(leaver)).rejects.toThrow(/^403 .*messages:read/s);
    (await opened(both)).close();
  }
});

it('the streams of a key end when it is revoked, and no others', async () => {
  const [ended, kept] = await Promise.all([open(leaver), open(other)]);
  ring.revoke('leaver');
  await untilEnded(ended);
  await expect(open(leaver)).rejects.toThrow('401');
  expect(kept.ended).toBe(false);
  kept.close();
});

it('the streams of a token end when it expires', async () => {
  const exp = Math.floor(Date.now() / 1000) + 3;
  await untilEnded(await open(await issuer.sign({ scope: 'events:read', exp })));
});
