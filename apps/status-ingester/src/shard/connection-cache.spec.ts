import { hostConnection } from '../../../../test/support/connections.js';
import { bytesOf, connectionCache } from './connection-cache.js';

const MIB = 1_048_576;

it('the cache keeps the connections used last, as many as fit into the bytes of a shard', () => {
  const remembered = connectionCache(4, 16 * MIB);
  for (let i = 0; i < 200; i++) {
    remembered.set(`c${i}`, hostConnection(`c${i}`, { facts: { fqdn: 'x'.repeat(262_144) } }));
  }
  expect(remembered.size).toBeGreaterThan(1);
  expect(remembered.size).toBeLessThan(16);
  expect(remembered.has('c199')).toBe(true);
  expect(remembered.has('c0')).toBe(false);
});

it('a connection larger than the share of its shard is not kept, nor is its earlier version', () => {
  const remembered = connectionCache(1, MIB);
  remembered.set('a', hostConnection('a'));
  remembered.set('a', hostConnection('a', { facts: { fqdn: 'x'.repeat(MIB) } }));
  expect(remembered.has('a')).toBe(false);
});

it('facts of many small values count with the memory they take, however deep they are', () => {
  const flat = Array.from({ length: 80_000 }, () => ({}));
  expect(bytesOf(hostConnection('a', { facts: { fqdn: 'a', flat } }))).toBeGreaterThan(4 * MIB);
  const deep: unknown = JSON.parse('['.repeat(5000) + ']'.repeat(5000));
  expect(bytesOf(hostConnection('a', { facts: { fqdn: 'a', deep } }))).toBeGreaterThan(200_000);
});
