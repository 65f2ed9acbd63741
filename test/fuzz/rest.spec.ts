/** Requests generated from the OpenAPI document, against the running gateway. `FUZZ_SEED` replays a run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { ProblemBody } from '../../apps/api-gateway/src/http/problem.js';
import { rssMiB } from '../../bench/measure.mjs';
import { startStack, stopAll } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';
import type { OpenApi } from '../support/openapi.js';
import { SEED, countOr, draw } from './hostile.js';
import { requestsOf, type Request } from './requests.js';

/** A thousand of each operation. */
const COUNT = countOr(20_000);
const AT_ONCE = 32;
const TRIES = 5;
const CLIENTS = ['fuzzed-1', 'fuzzed-2', 'fuzzed-3'];
/** Clients that are offline, so that they can be forgotten. */
const GONE = ['fuzzed-gone-1', 'fuzzed-gone-2', 'fuzzed-gone-3'];
/** Statuses that the document names once for all requests, not at each operation. */
const ALWAYS = new Set([404, 405, 413, 431]);

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-fuzz-'));
let stack: Awaited<ReturnType<typeof startStack>>;

beforeAll(async () => {
  process.stdout.write(`FUZZ_SEED=${SEED}\n`);
  stack = await startStack({ dir, env: { LOG_LEVEL: 'warn' } });
  for (const id of CLIENTS) await comeOnline(id);
  for (const id of GONE) await comeAndGo(id);
  await new Api(stack.gateway.url).untilBuilt();
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it(`the gateway answers ${COUNT} requests as its document says, and none with an internal error`, async () => {
  const document = (await (await fetch(`${stack.gateway.url}/openapi.json`)).json()) as OpenApi;
  const known = { client_id: [...CLIENTS, ...GONE], message_id: await someMessages(), sweep_id: [await aSweep()] };
  const requests = draw(requestsOf(document, known), COUNT);
  const pool = new Pool(stack.gateway.url, { connections: AT_ONCE });
  const wrong: string[] = [];
  const seen = new Map<string, number>();
  const memory: number[] = [];
  let sent = 0;

  const worker = async (): Promise<void> => {
    for (const request of requests) {
      const status = await answer(pool, request, wrong);
      const key = `${request.operation} ${status}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
      if (++sent % Math.ceil(COUNT / 10) === 0) memory.push(rssMiB(stack.gateway.pid));
      if (wrong.length > 5) return;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await pool.close();

  expect(wrong).toEqual([]);
  expect(sent).toBe(COUNT);
  // Not only refusals: every operation was also reached.
  const succeeded = new Set([...seen.keys()].filter((key) => / 2\d\d$/.test(key)).map((key) => key.split(' ')[0]));
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  expect(operations.map(({ operationId }) => operationId).filter((id) => !succeeded.has(id))).toEqual([]);
  for (const part of [stack.gateway, stack.ingester, stack.dispatcher]) expect(part.running).toBe(true);
  const [early = NaN] = memory.slice(4);
  expect(memory.at(-1)).toBeLessThan(early * 1.3 + 50);
}, 1_200_000);

it('the requests register no client', async () => {
  const { body } = await new Api(stack.gateway.url).call<{ data: { client_id: string }[] }>('GET', '/v1/connections');
  for (const { client_id } of body.data) expect([...CLIENTS, 'fuzzed-away']).toContain(client_id);
});

/** Messages to a client that listens, and some that wait for an offline client and can be cancelled. */
async function someMessages(): Promise<string[]> {
  const api = new Api(stack.gateway.url);
  await comeAndGo('fuzzed-away');
  const ids = ['fuzzed-1', ...Array<string>(100).fill('fuzzed-away')];
  const answers = await Promise.all(ids.map((id) => api.send(id, { directive: 'spec:known' })));
  return answers.map(({ body }) => body.message_id);
}

async function comeOnline(id: string): Promise<TestClient> {
  const client = await TestClient.connect(stack.mosquitto.url, id);
  await client.shakeHands();
  await new Api(stack.gateway.url).untilConnection(id, ({ state }) => state === 'online');
  return client;
}

async function comeAndGo(id: string): Promise<void> {
  const client = await comeOnline(id);
  await client.sayGoodbye();
  await new Api(stack.gateway.url).untilConnection(id, ({ state }) => state === 'offline');
}

async function aSweep(): Promise<string> {
  const { body } = await new Api(stack.gateway.url).call<{ sweep_id: string }>('POST', '/v1/cluster/sweeps');
  return body.sweep_id;
}

/** Sends one request, again where it is asked to, and notes what is wrong with the answer it gets in the end. */
async function answer(pool: Pool, request: Request, wrong: string[], tries = 1): Promise<number> {
  const { method, path, headers, body, documented, endless } = request;
  const response = await pool.request({
    method: method,
    path,
    headers: { ...headers, 'x-request-id': 'fuzz' },
    ...(body !== undefined && { body }),
  });
  const { statusCode: status } = response;
  if (endless && status === 200) {
    response.body.destroy();
    response.body.on('error', () => undefined);
    return status;
  }
  const text = await response.body.text();
  // A machine with much else to do makes Redis late, which is honestly told; an input that is at fault stays so.
  const seconds = Number(response.headers['retry-after']);
  if (status === 503 && seconds > 0 && tries < TRIES) {
    await sleep(seconds * 1000);
    return answer(pool, request, wrong, tries + 1);
  }
  const complain = (what: string): void =>
    void wrong.push(`${what}: ${method} ${path} ${body ?? ''} → ${status} ${text}`);
  if (status >= 500) complain('an error of the service');
  else if (!documented.has(status) && !ALWAYS.has(status)) complain('not documented');
  else if (status >= 400) {
    const type = String(response.headers['content-type']);
    if (!type.startsWith('application/problem+json')) complain(`not a problem but ${type}`);
    else if (!ProblemBody.safeParse(JSON.parse(text)).success) complain('not a valid problem');
  }
  if (response.headers['x-injected'] !== undefined) complain('injected a header');
  return status;
}
