import fc from 'fast-check';
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import { batchOf, hostConnection } from '../../../../test/support/connections.js';
import { withRedis } from '../../../../test/support/redis.js';
import { storeMessage } from '../../../../test/support/stored-message.js';
import { FencedCommit } from '../commits/fenced-commit.js';
import type { Connection } from './connection.js';
import type { ConnectionState, OfflineReason } from '../connection-state.js';
import { ConnectionDirectory, type ConnectionFilter, type PageCursor } from './connection-directory.js';
import { connectionWrites } from './connection-writes.js';
import { factTerm } from './fact-index.js';
import { RegistryKeys } from '../keys.js';

let redis: Redis;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

function host(clientId: string, more: Partial<Connection> = {}): Connection {
  return hostConnection(clientId, { facts: { fqdn: 'shared', machine_id: `machine of ${clientId}` }, ...more });
}

function proxy(clientId: string, more: Partial<Connection> = {}): Connection {
  return host(clientId, { type: 'proxy', facts: { source_type: 's', application_type: 't' }, ...more });
}

/** A registry in its own key space, written with the same commits as a shard's owner uses. */
class Registry {
  readonly keys = new RegistryKeys(`directory${keySpaces++}`);
  readonly directory: ConnectionDirectory;
  private readonly commits: FencedCommit;
  private readonly stored = new Map<string, Connection>();

  constructor(readonly shardCount: number) {
    this.directory = new ConnectionDirectory(redis, this.keys, shardCount);
    this.commits = new FencedCommit(redis, this.keys);
  }

  async put(...connections: Connection[]): Promise<void> {
    for (const connection of connections) await this.change(connection.client_id, connection);
  }

  async forget(...clientIds: string[]): Promise<void> {
    for (const clientId of clientIds) await this.change(clientId, undefined);
  }

  private async change(clientId: string, after: Connection | undefined): Promise<void> {
    const shard = shardOf(clientId, this.shardCount);
    const grant: Grant = { kind: 'shard', index: shard, epoch: 1, fence: '1:boot' };
    await redis.set(this.keys.owner(grant), grant.fence);
    const connections = new Map([[clientId, { before: this.stored.get(clientId), after }]]);
    const writes = connectionWrites(this.keys, shard, batchOf({ connections }));
    await this.commits.commit(grant, '0-0', '0-0', writes);
    if (after === undefined) this.stored.delete(clientId);
    else this.stored.set(clientId, after);
  }

  /** The client ids on all pages of a listing; `between` runs after each page. */
  async pages(filter: ConnectionFilter, limit: number, between?: (page: number) => Promise<void>): Promise<string[][]> {
    const pages: string[][] = [];
    let cursor: PageCursor | undefined;
    do {
      const page = await this.directory.list(filter, limit, cursor);
      pages.push(page.connections.map(({ client_id }) => client_id));
      cursor = page.next;
      await between?.(pages.length);
      if (pages.length > 1000) throw new Error('the listing does not end');
    } while (cursor !== undefined);
    return pages;
  }
}

/** Sorts as the listing does: by shard, then by UTF-8 bytes. */
function inOrder(ids: readonly string[], shardCount: number): string[] {
  return ids.toSorted(
    (a, b) => shardOf(a, shardCount) - shardOf(b, shardCount) || Buffer.from(a).compare(Buffer.from(b)),
  );
}

describe('a listing of connections', () => {
  it('returns each connection once, in the order of shard and bytes, for any page size', async () => {
    const registry = new Registry(8);
    const ids = Array.from({ length: 50 }, (_, i) => `client-${i}`);
    await registry.put(
      ...ids.map((id, i) => (i % 3 === 0 ? proxy(id) : host(id, { state: i % 2 ? 'online' : 'offline' }))),
    );
    for (const limit of [1, 2, 7, 49, 50, 51, 1000]) {
      const pages = await registry.pages({}, limit);
      expect(pages.flat()).toEqual(inOrder(ids, 8));
      for (const page of pages.slice(0, -1)) expect(page).toHaveLength(limit);
      expect(pages).toHaveLength(Math.ceil(50 / limit));
    }
  });

  it('ends a page early if its records are large, and still returns each connection once', async () => {
    const registry = new Registry(3);
    const ids = Array.from({ length: 40 }, (_, i) => `large-${i}`);
    const filling = 'x'.repeat(250_000);
    await registry.put(...ids.map((id) => host(id, { facts: { fqdn: 'shared', filling } })));
    for (const filter of [{}, { facts: { fqdn: 'shared' } }]) {
      const pages = await registry.pages(filter, 1000);
      expect(pages.flat()).toEqual(inOrder(ids, 3));
      for (const page of pages) expect(page.length).toBeLessThanOrEqual(9);
    }
    // Records that do not match are read as well.
    const none = await registry.pages({ facts: { fqdn: 'shared', machine_id: 'nobody' } }, 1000);
    expect(none.length).toBeGreaterThanOrEqual(Math.floor(40 / 9));
    expect(none.flat()).toEqual([]);
  });

  it('returns each online client of a shard once, for any page size', async () => {
    const registry = new Registry(1);
    const ids = Array.from({ length: 20 }, (_, i) => `client-${i}`);
    await registry.put(...ids.map((id) => proxy(id)), host('away', { state: 'offline' }));
    for (const pageSize of [1, 7, 19, 20, 21]) {
      const pages = [];
      for await (const page of registry.directory.online(0, pageSize)) pages.push(page);
      expect(pages.flat()).toEqual(inOrder(ids, 1));
      for (const page of pages) expect(page.length).toBeLessThanOrEqual(pageSize);
    }
  });

  it('of an empty registry has one empty page', async () => {
    expect(await new Registry(32).directory.list({}, 10)).toEqual({ connections: [] });
  });

  it('orders ids by UTF-8 bytes, even if the order of UTF-16 units differs', async () => {
    const ids = ['a', '\uff5e', '😀', '\ue000', '𐀀', 'é', 'z'];
    const bytewise = ['a', 'z', 'é', '\ue000', '\uff5e', '𐀀', '😀'];
    expect(ids.toSorted()).not.toEqual(bytewise);
    const registry = new Registry(1);
    // The clients are in all four indexes, which the listing merges.
    await registry.put(
      ...ids.map((id, i) => (i % 2 ? host(id, { state: i % 4 === 1 ? 'online' : 'offline' }) : host(id))),
    );
    expect((await registry.pages({}, 1)).flat()).toEqual(bytewise);
    expect((await registry.pages({ facts: { fqdn: 'shared' } }, 1)).flat()).toEqual(bytewise);
    expect((await registry.pages({}, 3)).flat()).toEqual(bytewise);
  });

  it('filters by state, type and facts, and by all of them together', async () => {
    const registry = new Registry(4);
    await registry.put(
      host('a'),
      host('b', { state: 'offline' }),
      host('c', { facts: { fqdn: 'other', ip_addresses: ['10.0.0.1', '10.0.0.2'] } }),
      host('d', { facts: { fqdn: 'shared', ip_addresses: ['10.0.0.2'] } }),
      proxy('e'),
      proxy('f', { state: 'offline' }),
    );
    const found = async (filter: ConnectionFilter): Promise<string[]> => {
      const byOne = (await registry.pages(filter, 1)).flat();
      expect((await registry.pages(filter, 100)).flat()).toEqual(byOne);
      return byOne.sort();
    };
    expect(await found({ state: 'online' })).toEqual(['a', 'c', 'd', 'e']);
    expect(await found({ state: 'offline' })).toEqual(['b', 'f']);
    expect(await found({ type: 'proxy' })).toEqual(['e', 'f']);
    expect(await found({ state: 'offline', type: 'host' })).toEqual(['b']);
    expect(await found({ facts: { fqdn: 'shared' } })).toEqual(['a', 'b', 'd']);
    expect(await found({ facts: { ip_address: '10.0.0.2' } })).toEqual(['c', 'd']);
    expect(await found({ facts: { fqdn: 'shared', ip_address: '10.0.0.2' } })).toEqual(['d']);
    expect(await found({ facts: { ip_address: '10.0.0.2', fqdn: 'shared' } })).toEqual(['d']);
    expect(await found({ state: 'offline', facts: { fqdn: 'shared' } })).toEqual(['b']);
    expect(await found({ type: 'proxy', facts: { fqdn: 'shared' } })).toEqual([]);
    expect(await found({ facts: { fqdn: 'nobody' } })).toEqual([]);
  });

  it('filters by the first characters of the client id, alone and with everything else', async () => {
    const registry = new Registry(4);
    const ids = ['rack-1', 'rack-10', 'rack-2', 'rack', 'rac', 'räck', 'rack-1😀', 'z'];
    await registry.put(
      ...ids.map((id, i) =>
        host(id, { state: i % 2 ? 'online' : 'offline', offline_reason: i % 2 ? null : 'goodbye' }),
      ),
    );
    const found = async (filter: ConnectionFilter): Promise<string[]> => {
      const byOne = (await registry.pages(filter, 1)).flat();
      expect((await registry.pages(filter, 100)).flat()).toEqual(byOne);
      return byOne.sort();
    };
    expect(await found({ prefix: 'rack-1' })).toEqual(['rack-1', 'rack-10', 'rack-1😀']);
    expect(await found({ prefix: 'rä' })).toEqual(['räck']);
    expect(await found({ prefix: 'rack-1😀' })).toEqual(['rack-1😀']);
    expect(await found({ prefix: 'rack-11' })).toEqual([]);
    expect(await found({ prefix: 'rack-1', state: 'online' })).toEqual(['rack-10']);
    expect(await found({ prefix: 'rack-1', facts: { fqdn: 'shared' } })).toEqual(['rack-1', 'rack-10', 'rack-1😀']);
    expect(await found({ prefix: 'rack-1', facts: { machine_id: 'machine of rack-2' } })).toEqual([]);
  });

  it('filters by the reason for being offline, and follows its change', async () => {
    const registry = new Registry(4);
    const offline = (id: string, offline_reason: OfflineReason | null, more = {}): Connection =>
      host(id, { state: 'offline', offline_reason, ...more });
    await registry.put(host('on'), offline('a', 'goodbye'), offline('b', 'refused'), offline('c', null));
    await registry.put(offline('d', 'goodbye', { account: 'acme' }));
    const found = async (filter: ConnectionFilter): Promise<string[]> =>
      (await registry.pages(filter, 1)).flat().sort();
    expect(await found({ offlineReason: 'goodbye' })).toEqual(['a', 'd']);
    expect(await found({ offlineReason: 'goodbye', account: 'acme' })).toEqual(['d']);
    expect(await found({ offlineReason: 'unknown' })).toEqual(['c']);
    expect(await found({ offlineReason: 'goodbye', state: 'online' })).toEqual([]);
    await registry.put(offline('a', 'handshake-removed'));
    expect(await found({ offlineReason: 'goodbye' })).toEqual(['d']);
    expect(await found({ offlineReason: 'handshake-removed' })).toEqual(['a']);
    expect(await found({ state: 'offline' })).toEqual(['a', 'b', 'c', 'd']);
    expect(await registry.directory.summary()).toMatchObject({ offline: { host: 4, proxy: 0 } });
  });

  it('filters by a refusal that is in force, which only the connections with one are looked at for', async () => {
    const registry = new Registry(2);
    const later = Date.now() + 3_600_000;
    await registry.put(
      host('a'),
      host('b', { refused_until: 'never' }),
      host('c', { refused_until: later, account: 'acme' }),
      host('over', { refused_until: 1 }),
    );
    const found = async (filter: ConnectionFilter): Promise<string[]> =>
      (await registry.pages(filter, 1)).flat().sort();
    expect(await found({ refused: true })).toEqual(['b', 'c']);
    expect(await found({ refused: true, account: 'acme' })).toEqual(['c']);
    expect(await found({ refused: true, prefix: 'b' })).toEqual(['b']);
    await registry.put(host('b'));
    await registry.forget('c');
    expect(await found({ refused: true })).toEqual([]);
    expect(await redis.keys(`${registry.keys.prefix}:*:refused`)).toHaveLength(1);
  });

  it('distinguishes clients if the concatenations of their facts and ids are equal', async () => {
    const registry = new Registry(1);
    await registry.put(host('b', { facts: { fqdn: 'x:a' } }), host('a:b', { facts: { fqdn: 'x' } }));
    expect((await registry.pages({ facts: { fqdn: 'x' } }, 10)).flat()).toEqual(['a:b']);
    expect((await registry.pages({ facts: { fqdn: 'x:a' } }, 10)).flat()).toEqual(['b']);
  });

  it('leaves out a client whose facts or account only share the term of those that are looked for', async () => {
    const registry = new Registry(1);
    await registry.put(host('a', { facts: { fqdn: 'x' } }), host('b', { facts: { fqdn: 'y' }, account: 'acme' }));
    const { bucket, term } = factTerm('fqdn', 'x');
    await redis.zadd(registry.keys.facts(0, bucket), 0, `${term}b`);
    const ofAccount = factTerm('fqdn', 'y', 'acme');
    await redis.zadd(registry.keys.facts(0, ofAccount.bucket), 0, `${ofAccount.term}a`);
    expect((await registry.pages({ facts: { fqdn: 'x' } }, 10)).flat()).toEqual(['a']);
    expect((await registry.pages({ facts: { fqdn: 'y' }, account: 'acme' }, 10)).flat()).toEqual(['b']);
  });

  it('does not miss a connection that comes online while a page is read', async () => {
    const registry = new Registry(1);
    await registry.put(host('a'), host('restless', { state: 'offline' }), host('z'));
    let changed: Promise<void> | undefined;
    // The owner commits right after the first index has been read.
    const interrupted = new Proxy(redis, {
      get(target, name): unknown {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]): unknown => {
          const call = (): unknown => Reflect.apply(member, target, args);
          if (name !== 'zrange') return call();
          if (changed !== undefined) return changed.then(call);
          const reply = call() as Promise<unknown>;
          changed = reply.then(() => registry.put(host('restless')));
          return reply;
        };
      },
    });
    const page = await new ConnectionDirectory(interrupted, registry.keys, 1).list({}, 10);
    expect(page.connections.map(({ client_id }) => client_id)).toEqual(['a', 'restless', 'z']);
  });

  it('returns each connection that exists all the time exactly once, while others are added and removed', async () => {
    const id = fc.oneof(
      fc.integer({ min: 0, max: 60 }).map((n) => `c${n}`),
      fc.constantFrom('a:b', 'c;d', 'é', '\uff5e', '\uff5e1', '😀', '😀2', '𐀀', ' ', '~'),
    );
    const states = fc.constantFrom<ConnectionState>('online', 'offline');
    const filters = fc.constantFrom<ConnectionFilter>({}, { type: 'host' }, { facts: { fqdn: 'shared' } });
    const scenario = fc.record({
      shardCount: fc.constantFrom(1, 3, 8),
      limit: fc.integer({ min: 1, max: 7 }),
      filter: filters,
      stay: fc.uniqueArray(fc.tuple(id, states), { selector: ([one]) => one, maxLength: 25 }),
      // What happens between two pages.
      changes: fc.array(fc.array(fc.tuple(id, fc.constantFrom('come', 'go', 'flip')), { maxLength: 6 }), {
        maxLength: 8,
      }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ shardCount, limit, filter, stay, changes }) => {
        const registry = new Registry(shardCount);
        const staying = new Map(stay);
        await registry.put(...stay.map(([one, state]) => host(one, { state })));
        const pages = await registry.pages(filter, limit, async (page) => {
          for (const [one, what] of changes[page - 1] ?? []) {
            const state = staying.get(one);
            if (state !== undefined) {
              const other = state === 'online' ? 'offline' : 'online';
              if (what === 'flip') await registry.put(host(one, { state: other }));
              if (what === 'flip') staying.set(one, other);
            } else if (what === 'go') await registry.forget(one);
            else await registry.put(host(one));
          }
        });
        const seen = pages.flat();
        expect(seen).toEqual(inOrder([...new Set(seen)], shardCount));
        expect(stay.map(([one]) => one).filter((one) => !seen.includes(one))).toEqual([]);
        for (const page of pages) expect(page.length).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 60 },
    );
  });
});

describe('the summary of connections', () => {
  it('adds up the connections of all shards by state and type', async () => {
    const registry = new Registry(8);
    const some = (count: number, prefix: string, make: (id: string) => Connection): Connection[] =>
      Array.from({ length: count }, (_, i) => make(`${prefix}${i}`));
    await registry.put(
      ...some(7, 'oh', (id) => host(id)),
      ...some(5, 'fh', (id) => host(id, { state: 'offline' })),
      ...some(3, 'op', (id) => proxy(id)),
      ...some(2, 'fp', (id) => proxy(id, { state: 'offline' })),
    );
    await registry.put(host('oh0', { state: 'offline' }));
    await registry.forget('fp1');
    expect(await registry.directory.summary()).toEqual({
      online: { host: 6, proxy: 3 },
      offline: { host: 6, proxy: 1 },
    });
  });
});

describe('the counts of held messages', () => {
  it('include the messages of clients that are offline or not subscribed, in the order of the request', async () => {
    const registry = new Registry(8);
    const { keys, directory } = registry;
    const outbox = (clientId: string): string => keys.outbox(shardOf(clientId, 8), clientId);
    const connections = [
      host('online'),
      host('offline', { state: 'offline' }),
      host('deaf'),
      host('nothing', { state: 'offline' }),
      proxy('offline proxy', { state: 'offline' }),
    ];
    await registry.put(...connections);
    await redis.rpush(outbox('online'), 'a', 'b');
    await redis.rpush(outbox('offline'), 'c', 'd', 'e');
    await redis.rpush(outbox('deaf'), 'f', 'g');
    await redis.rpush(outbox('offline proxy'), 'h');
    await storeMessage(redis, keys.message(shardOf('deaf', 8), 'f'), { client: 'deaf', no_subscribers: '1' });
    expect(await directory.heldCounts(connections)).toEqual([0, 3, 2, 0, 1]);
  });
});

describe('mapping the connections of many clients', () => {
  it('keeps the order of the clients and reads a limited number of bytes at a time', async () => {
    const registry = new Registry(1);
    const large = 'x'.repeat(262_144);
    const ids = Array.from({ length: 40 }, (_, i) => `client-${i}`);
    await registry.put(...ids.map((id) => host(id, { facts: { machine_id: id, large } })));
    const most = { bytes: 0 };
    const measured = new Proxy(redis, {
      get: (target, name, receiver): unknown => {
        const member: unknown = Reflect.get(target, name, receiver);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          const reply: unknown = await (member as (...all: unknown[]) => unknown).apply(target, args);
          most.bytes = Math.max(most.bytes, JSON.stringify(reply).length);
          return reply;
        };
      },
    });
    const directory = new ConnectionDirectory(measured, registry.keys, 1);
    const asked = ['nobody', ...ids.toReversed()];
    const found = await directory.map(0, asked, (connection, i) => [i, connection?.facts['machine_id']]);
    expect(found).toEqual(asked.map((id, i) => [i, id === 'nobody' ? undefined : id]));
    // 2 MiB, the record that passes it, and the quotes of its JSON.
    expect(most.bytes).toBeGreaterThan(1_048_576);
    expect(most.bytes).toBeLessThan(3_145_728);
  });
});
