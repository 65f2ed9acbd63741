import type { Cluster } from '@cloud-connector/client';
import { faultsOf, healthOf } from './part-health';

const member: Cluster['members'][number] = {
  id: 'a#1',
  name: 'a',
  since: '2026-01-01T00:00:00.000Z',
  draining: false,
  fitness: 'fit',
  reason: null,
  shards: 1,
  lanes: 1,
};
const shard: Cluster['shards'][number] = {
  shard: 0,
  owner: 'a#1',
  epoch: 1,
  dispatcher: null,
  mailbox_depth: 0,
  mailbox_lag_ms: 0,
};
const gateway: Cluster['gateways'][number] = { id: 'g#1', name: 'g', since: member.since };
const dispatcher: Cluster['dispatchers'][number] = {
  id: 'd#1',
  name: 'd',
  since: member.since,
  takes_shards: true,
  reason: null,
  shards: 0,
};
const healthy: Cluster = {
  members: [member],
  gateways: [gateway],
  dispatchers: [dispatcher],
  shards: [shard],
  lanes: [],
  redis: [{ used_bytes: 2_097_152, limit_bytes: 10_485_760, full: false }],
  dead_letters: 0,
  broker: null,
};
/** A broker without limits. */
const broker: NonNullable<Cluster['broker']> = {
  checked_at: member.since,
  receive_maximum: 20,
  maximum_packet_size: null,
  maximum_qos: 2,
  session_expiry_seconds: null,
  no_subscriber_signal: true,
  absence_provable: true,
  queue_limit: null,
  queue_measured_at: null,
  retain_available: true,
  shared_subscriptions: true,
  wildcard_subscriptions: true,
  server_keep_alive_seconds: null,
};
const withoutBroker: Partial<Cluster> = {
  members: [{ ...member, fitness: 'unfit' }],
  dispatchers: [{ ...dispatcher, takes_shards: false }],
};
const stateOf = (name: string, cluster: Cluster): unknown[] => {
  const part = healthOf(cluster).find((each) => each.name === name);
  return [part?.level, part?.state, part?.details];
};

it('a part of which all work is good', () => {
  expect(stateOf('Ingesters', healthy)).toEqual(['good', '1 up', '']);
  expect(stateOf('Redis', healthy)).toEqual(['good', '1 up', '2 MiB of 10 MiB']);
});

it.each<[string, Partial<Cluster>, string[]]>([
  ['Ingesters', { members: [] }, ['bad', 'none is running', '']],
  ['Ingesters', { members: [member, { ...member, id: 'b', fitness: 'unfit' }] }, ['warn', '1 of 2 work', '']],
  ['Ingesters', { members: [{ ...member, draining: true }] }, ['bad', 'none works', '']],
  ['Ingesters', { shards: [{ ...shard, owner: null }] }, ['warn', '1 up', '1 shard is being taken over']],
  ['Ingesters', { shards: [{ ...shard, mailbox_lag_ms: 2500 }] }, ['warn', '1 up', 'the oldest entry waits for 2.5 s']],
  ['Dispatchers', { dispatchers: [{ ...dispatcher, takes_shards: false }] }, ['bad', 'none works', '']],
  ['Broker', { broker }, ['good', 'connected', '']],
  ['Broker', { broker, members: [{ ...member, fitness: 'troubled' }] }, ['warn', 'not reached', 'by a#1']],
  ['Broker', { broker, dispatchers: [{ ...dispatcher, takes_shards: false }] }, ['warn', 'not reached', 'by d#1']],
  ['Broker', { broker, ...withoutBroker }, ['bad', 'not reached', 'by any process: a#1, d#1']],
  [
    'Broker',
    { broker, members: [{ ...member, fitness: 'troubled', reason: 'redis-unreachable' }] },
    ['good', 'connected', ''],
  ],
  ['Broker', withoutBroker, ['bad', 'not reached', 'by any process: a#1, d#1']],
  ['Redis', { redis: [{ used_bytes: 1_048_576, limit_bytes: null, full: true }] }, ['bad', 'full', '1 MiB, no limit']],
])('%s: %j', (name, change, expected) => {
  expect(stateOf(name, { ...healthy, ...change })).toEqual(expected);
});

it('names what does not work, its cause first', () => {
  const names = faultsOf({ ...healthy, broker, ...withoutBroker }).map(({ name }) => name);
  expect(names).toEqual(['Broker', 'Ingesters', 'Dispatchers']);
  expect(faultsOf(healthy)).toEqual([]);
});
