import { hostConnection } from '../../../../test/support/connections.js';
import { LastLiveEntries, bytesOf, connectionCache } from './shard-memory.js';

const MIB = 1_048_576;

it('connectionCache keeps the connections used last, as many as fit into the bytes of a shard', () => {
  const cache = connectionCache(4, 16 * MIB);
  for (let i = 0; i < 200; i++) {
    cache.set(`c${i}`, hostConnection(`c${i}`, { facts: { fqdn: 'x'.repeat(262_144) } }));
  }
  expect(cache.size).toBeGreaterThan(1);
  expect(cache.size).toBeLessThan(16);
  expect(cache.has('c199')).toBe(true);
  expect(cache.has('c0')).toBe(false);
});

it('connectionCache keeps neither a connection larger than the cache nor its earlier version', () => {
  const cache = connectionCache(1, MIB);
  cache.set('a', hostConnection('a'));
  cache.set('a', hostConnection('a', { facts: { fqdn: 'x'.repeat(MIB) } }));
  expect(cache.has('a')).toBe(false);
});

it('bytesOf counts facts of many small values with the memory they take, however deep they are', () => {
  const flat = Array.from({ length: 80_000 }, () => ({}));
  expect(bytesOf(hostConnection('a', { facts: { fqdn: 'a', flat } }))).toBeGreaterThan(4 * MIB);
  const deep: unknown = JSON.parse('['.repeat(5000) + ']'.repeat(5000));
  expect(bytesOf(hostConnection('a', { facts: { fqdn: 'a', deep } }))).toBeGreaterThan(200_000);
});

it('bytesOf counts the ids of messages that a connection remembers', () => {
  const without = bytesOf(hostConnection('a'));
  expect(bytesOf(hostConnection('a', { applied_messages: 'x'.repeat(1024) })) - without).toBe(2048);
});

it('LastLiveEntries tells an entry that came after an id from one that came before it', () => {
  const entries = new LastLiveEntries('5-0');
  entries.note('host-1', '7-0');
  expect(entries.sinceNoted('host-1', '6-0')).toBe('something');
  expect(entries.sinceNoted('host-1', '7-0')).toBe('nothing');
  expect(entries.sinceNoted('host-2', '6-0')).toBe('nothing');
});

it('LastLiveEntries does not know entries that came before the grant', () => {
  const entries = new LastLiveEntries('5-0');
  expect(entries.sinceNoted('host-1', '4-0')).toBe('unknown');
  expect(entries.sinceNoted('host-1', '5-0')).toBe('nothing');
});

it('LastLiveEntries drops the oldest entry when it is full, and answers unknown for its client', () => {
  const entries = new LastLiveEntries('5-0', 2);
  entries.note('host-1', '6-0');
  entries.note('host-2', '7-0');
  // This entry of host-1 is newer, so host-1 is no longer the oldest.
  entries.note('host-1', '8-0');
  entries.note('host-3', '9-0');
  expect(entries.sinceNoted('host-2', '6-0')).toBe('unknown');
  expect(entries.sinceNoted('host-1', '7-0')).toBe('something');
  expect(entries.sinceNoted('host-2', '8-0')).toBe('nothing');
});
