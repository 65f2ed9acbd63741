import { ShardingKeys, nameOf, type Resource } from './sharding-keys.js';

const keys = new ShardingKeys('cc');
const RESOURCES: Resource[] = [
  { kind: 'shard', index: 3 },
  { kind: 'outbound', index: 3 },
  { kind: 'lane', index: 3 },
];

describe('the keys of leases', () => {
  it('are apart for the two sides of a shard and for a lane', () => {
    expect(RESOURCES.map((resource) => [keys.epoch(resource), keys.owner(resource)])).toEqual([
      ['cc:{s3}:epoch', 'cc:{s3}:owner'],
      ['cc:{s3}:outbound-epoch', 'cc:{s3}:outbound-owner'],
      ['cc:{lane3}:epoch', 'cc:{lane3}:owner'],
    ]);
  });

  it('of both sides of a shard have its hash tag, so that scripts can use them with its other keys', () => {
    for (const resource of RESOURCES.slice(0, 2))
      expect(keys.owner(resource).startsWith(`${keys.shard(3)}:`)).toBe(true);
  });
});

it('a resource is named by its kind and its number', () => {
  expect(RESOURCES.map(nameOf)).toEqual(['shard 3', 'outbound 3', 'lane 3']);
});
