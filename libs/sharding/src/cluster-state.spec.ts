import type { Redis } from '@app/platform';
import { withRedis } from '../../../test/support/redis.js';
import { readCluster, type DispatcherAnnouncement, type GatewayAnnouncement } from './cluster-state.js';
import { Members } from './members.js';
import { ShardingKeys } from './sharding-keys.js';

const TTL_MS = 60_000;
const SINCE = '2026-11-30T06:00:00.000Z';

let redis: Redis;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

describe('the state of the cluster', () => {
  it('has the dispatchers with the shards that they own, also one that does not say since when', async () => {
    const keys = new ShardingKeys(`state${keySpaces++}`);
    const dispatcher = (boot: string): Members<DispatcherAnnouncement> =>
      new Members(redis, keys.dispatchers, `d/${boot}`, TTL_MS);
    await dispatcher('one').heartbeat({ name: 'd', since: SINCE, takes_shards: true });
    await dispatcher('two').heartbeat({ name: 'd', takes_shards: false });
    for (const index of [0, 2]) await redis.set(keys.owner({ kind: 'outbound', index }), '4:one');
    const { dispatchers, shards } = await readCluster(redis, keys, 3);
    expect(dispatchers).toMatchObject([
      { id: 'd/one', since: SINCE, takes_shards: true, shards: 2 },
      { id: 'd/two', takes_shards: false, shards: 0 },
    ]);
    expect(dispatchers[1]).not.toHaveProperty('since');
    expect(shards.map(({ dispatcher: owner }) => owner)).toEqual(['d/one', null, 'd/one']);
  });

  it('has the gateways, which own nothing', async () => {
    const keys = new ShardingKeys(`state${keySpaces++}`);
    const gateway = new Members<GatewayAnnouncement>(redis, keys.gateways, 'g/boot', TTL_MS);
    await gateway.heartbeat({ name: 'g', since: SINCE });
    expect(await readCluster(redis, keys, 1)).toMatchObject({
      members: [],
      dispatchers: [],
      gateways: [{ id: 'g/boot', name: 'g', since: SINCE }],
      shards: [{ owner: null, dispatcher: null }],
    });
  });
});
