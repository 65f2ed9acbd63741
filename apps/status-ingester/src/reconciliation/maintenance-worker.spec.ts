import { Queue } from 'bullmq';
import { connectRedis, type Redis } from '@app/platform';
import {
  MAINTENANCE_QUEUE,
  Maintenance,
  RegistryKeys,
  Sweeps,
  decodeMailboxEntry,
  type Connection,
  type MailboxMessage,
} from '@app/registry';
import { TopicTemplate } from '@app/protocol';
import { hostConnection } from '../../../../test/support/connections.js';
import {
  eventually,
  freePort,
  quiet,
  startMosquitto,
  startRedis,
  type Server,
} from '../../../../test/support/servers.js';
import { MaintenanceWorker } from './maintenance-worker.js';

const SHARDS = 2;
let servers: Server[];
let redis: Redis;
let workerRedis: Redis;
let keys: RegistryKeys;
let maintenance: Maintenance;
let worker: MaintenanceWorker;
let sweeps: Sweeps;
let sent: MailboxMessage[];
/** Ids of the clients that are online in the registry. */
let online: string[];
/** What the shard corrects for a client that it verifies for a sweep. */
let correction: 'offline' | 'none';
let absenceProvable: boolean | null;
let keySpace: () => Promise<string>;
let keySpaces = 0;
/** The address of the broker to sweep. */
let brokerUrl: string;
let lanesConnected: () => Promise<void>;

beforeAll(async () => {
  servers = await Promise.all([startRedis(), startMosquitto()]);
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

beforeEach(() => {
  const [store, broker] = servers;
  redis = connectRedis(store?.url ?? '', { name: 'spec', whenAway: 'wait' }, quiet);
  workerRedis = connectRedis(store?.url ?? '', { name: 'spec-worker', whenAway: 'wait' }, quiet);
  keys = new RegistryKeys(`maintenance${keySpaces++}`);
  maintenance = new Maintenance(redis, keys);
  sweeps = new Sweeps(redis, keys, SHARDS);
  sent = [];
  keySpace = () => Promise.resolve('one');
  [correction, absenceProvable] = ['offline', null];
  online = [];
  brokerUrl = broker?.url ?? '';
  lanesConnected = () => Promise.resolve();
  const known = [
    hostConnection('silent', { last_live_handshake_at: 10 }),
    hostConnection('confirmed', { last_live_handshake_at: 30 }),
  ];
  worker = new MaintenanceWorker({
    maintenance,
    workerRedis,
    redis,
    keys,
    barrier: { pass: () => Promise.resolve() },
    mailboxes: {
      idBefore: () => Promise.resolve('0-0'),
      sendAll: async (shard: number, items: readonly string[]) => {
        for (const text of items) {
          const message = decodeMailboxEntry({ id: '1-1', text });
          sent.push(message);
          // The shard has verified the client for the sweep.
          if (message.kind === 'command' && message.command.do === 'verify' && message.command.sweep !== undefined) {
            await redis.hincrby(keys.sweepCounts(shard, message.command.sweep), correction, 1);
          }
        }
        return items.length;
      },
    },
    directory: {
      map: (shard, ids, take) => {
        const find = (id: string): Connection | undefined => known.find((one) => one.client_id === id);
        return Promise.resolve(ids.map((id, i) => take(shard === 0 ? find(id) : undefined, i)));
      },
      async *online(shard) {
        await Promise.resolve();
        yield shard === 0 ? online : [];
      },
    },
    sweeps,
    broker: {
      get url() {
        return brokerUrl;
      },
    },
    facts: {
      get absenceProvable() {
        return absenceProvable;
      },
    },
    lanesConnected: () => lanesConnected(),
    lanes: 1,
    sentinel: 'spec/sentinel',
    statusTopics: [new TopicTemplate('in/{clientId}')],
    maxInboundBytes: 1024,
    shardCount: SHARDS,
    member: 'spec',
    keySpace: () => keySpace(),
    logger: quiet,
  });
  worker.start();
});

/** Clients that got the command to reconfirm. */
function reconfirmed(): string[] {
  return sent.flatMap((one) => (one.kind === 'command' && one.command.do === 'reconfirm' ? [one.clientId] : []));
}

async function untilEnded(id: string): Promise<void> {
  await eventually(`sweep ${id} has ended`, async () => {
    expect(await sweeps.find(id)).toMatchObject({ id, state: 'ended' });
  });
}

afterEach(async () => {
  await worker.stop();
  await maintenance.close();
  redis.disconnect();
  workerRedis.disconnect();
});

it('a reconfirmation asks the shards about online clients that have not shaken hands since the restart of the broker', async () => {
  online = ['confirmed', 'silent'];
  await maintenance.planReconfirmation(20, 0);
  await eventually('the silent client gets the command', () => expect(reconfirmed()).toEqual(['silent']));
});

it('a reconfirmation runs after a sweep, which may find handshakes that came before the lanes were back', async () => {
  online = ['silent'];
  let connect = (): void => undefined;
  const connected = new Promise<void>((resolve) => (connect = resolve));
  let waits = 0;
  lanesConnected = () => {
    waits++;
    return connected;
  };
  await maintenance.planReconfirmation(20, 0);
  await eventually('the sweep waits for the lanes', () => expect(waits).toBe(1));
  expect(reconfirmed()).toEqual([]);
  connect();
  await eventually('the silent client gets the command', () => expect(reconfirmed()).toEqual(['silent']));
  expect(await sweeps.latest()).toMatchObject({ trigger: 'broker-restart', state: 'ended' });
});

it('a sweep runs when the interval has passed', async () => {
  await maintenance.keepSchedule(1000);
  await eventually('a scheduled sweep has run', async () => {
    expect(await sweeps.latest()).toMatchObject({ trigger: 'interval' });
  });
});

it('the first scheduled sweep is due after the interval, since a start requests its own sweep', async () => {
  const { queuePrefix: prefix } = keys;
  const queue = new Queue(MAINTENANCE_QUEUE, { connection: redis, prefix, skipMetasUpdate: true });
  const begun = Date.now();
  await maintenance.keepSchedule(3_600_000);
  const [plan] = await queue.getJobSchedulers();
  expect(plan?.next).toBeGreaterThanOrEqual(begun + 3_600_000);
  await maintenance.keepSchedule(3_600_000);
  expect(await queue.getJobSchedulers()).toMatchObject([{ next: plan?.next }]);
  await queue.close();
});

it('a sweep that is requested runs while another waits for its next attempt', async () => {
  let lost = 0;
  let seen = 0;
  keySpace = () => Promise.resolve(seen++ === 1 ? `lost-${lost++}` : 'one');
  const first = await sweeps.nextId();
  await maintenance.requestSweep('request', 0);
  await eventually('the first sweep has failed', () => expect(lost).toBe(1));
  const second = await sweeps.nextId();
  await maintenance.requestSweep('request', 0);
  expect(second).not.toBe(first);
  for (const id of [first, second]) {
    await untilEnded(id);
  }
});

it('a sweep runs again if the key space was lost during it, and the lost one does not count as swept', async () => {
  const looks = ['one', 'another', 'another', 'another'];
  const swept: number[] = [];
  keySpace = async () => {
    swept.push(await redis.exists(keys.swept(0)));
    return looks.shift() ?? 'another';
  };
  await maintenance.requestSweep('request', 0);
  await eventually('the shard counts as swept', async () => expect(await redis.exists(keys.swept(0))).toBe(1));
  expect(swept).toEqual([0, 0, 0, 0]);
});

it('no sweep begins before the lanes are connected', async () => {
  let connect = (): void => undefined;
  let asked = false;
  lanesConnected = () => {
    asked = true;
    return new Promise((resolve) => (connect = resolve));
  };
  const id = await sweeps.nextId();
  await maintenance.requestSweep('request', 0);
  await eventually('the sweep waits for the lanes', () => expect(asked).toBe(true));
  expect(await sweeps.find(id)).toBe('waiting');
  connect();
  await untilEnded(id);
});

it('a sweep that is tried again while the broker is away emits one event', async () => {
  const port = await freePort();
  brokerUrl = `mqtt://127.0.0.1:${port}`;
  let tries = 0;
  keySpace = () => {
    tries++;
    return Promise.resolve('one');
  };
  await maintenance.requestSweep('request', 0);
  await eventually('the sweep is tried again', () => expect(tries).toBe(2));
  const late = await startMosquitto({ port });
  const types = async (): Promise<unknown[]> =>
    (await redis.xrange(keys.events(0), '-', '+')).map(([, fields]) => {
      const text = fields[fields.indexOf('event') + 1] ?? '';
      return (JSON.parse(text) as { type: unknown }).type;
    });
  await eventually('the sweep has started and ended', async () => {
    expect(await types()).toEqual(['sweep.started', 'sweep.ended']);
  });
  await late.stop();
});

it('a sweep that is requested does not wait for the one that follows an incomplete sweep', async () => {
  await maintenance.requestSweepLater('truncated', 3_600_000);
  const id = await sweeps.nextId();
  await maintenance.requestSweep('request', 0);
  await untilEnded(id);
  expect(await sweeps.find(id)).toMatchObject({ trigger: 'request' });
});

it('a sweep that was requested for later begins then, with its trigger', async () => {
  const id = await sweeps.nextId();
  await maintenance.requestSweepLater('truncated', 1);
  await untilEnded(id);
  expect(await sweeps.find(id)).toMatchObject({ trigger: 'truncated' });
});

it.each([
  ['incomplete if no pass brought a message that the broker has of an online client', 'none', true, 'left-out'],
  ['complete if the broker has no message of a client that no pass brought', 'offline', true, null],
  ['complete if the broker cannot prove that it has none', 'none', false, null],
] as const)('a sweep is %s', async (_, kind, provable, reason) => {
  [correction, absenceProvable] = [kind, provable];
  online = ['silent', 'confirmed'];
  const id = await sweeps.nextId();
  await maintenance.requestSweep('request', 0);
  await untilEnded(id);
  expect(await sweeps.find(id)).toMatchObject({
    complete: reason === null,
    incompleteReason: reason,
    unseen: 2,
    corrections: { [kind]: 2 },
  });
  expect(await redis.exists(keys.swept(0))).toBe(reason === null ? 1 : 0);
});
