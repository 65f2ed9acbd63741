import { hostConnection } from '../../../../test/support/connections.js';
import { bytesOf, connectionCache } from './connection-cache.js';

const MIB = 1_048_576;

it('as many connections are remembered as fit into the bytes of a shard, those that were used last', () => {
  const remembered = connectionCache(4, 16 * MIB);
  for (let i = 0; i < 200; i++) {
    remembered.set(`c${i}`, hostConnection(`c${i}`, { facts: { fqdn: 'x'.repeat(262_144) } }));
  }
  expect(remembered.size).toBeGreaterThan(1);
  expect(remembered.size).toBeLessThan(16);
  expect(remembered.has('c199')).toBe(true);
  expect(remembered.has('c0')).toBe(false);
});

it('one that is larger than the share of its shard is not remembered, nor is what it was before', () => {
  const remembered = connectionCache(1, MIB);
  remembered.set('a', hostConnection('a'));
  remembered.set('a', hostConnection('a', { facts: { fqdn: 'x'.repeat(MIB) } }));
  expect(remembered.has('a')).toBe(false);
});

it('facts of many small values weigh what they take in memory, however deep they are', () => {
  const flat = Array.from({ length: 80_000 }, () => ({}));
  expect(bytesOf(hostConnection('a', { facts: { fqdn: 'a', flat } }))).toBeGreaterThan(4 * MIB);
  const deep: unknown = JSON.parse('['.repeat(5000) + ']'.repeat(5000));
  expect(bytesOf(hostConnection('a', { facts: { fqdn: 'a', deep } }))).toBeGreaterThan(200_000);
});
