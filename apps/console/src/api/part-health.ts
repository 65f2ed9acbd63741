/** What the state of the cluster means for each part. */
import type { Cluster } from '@cloud-connector/client';
import { brokerReach, type BrokerReach } from './broker-reach.js';

export interface PartHealth {
  name: string;
  level: 'good' | 'warn' | 'bad' | 'neutral';
  state: string;
  details: string;
  /** What it means for the service that this part does not work. */
  meaning?: string;
}

export function healthOf({ gateways, members, dispatchers, shards, redis, broker }: Cluster): PartHealth[] {
  const healthy = members.filter((member) => member.fitness === 'fit' && !member.draining).length;
  const working = dispatchers.filter(({ takes_shards: works }) => works).length;
  const ownerless = shards.filter(({ owner }) => owner === null).length;
  const lag = Math.max(0, ...shards.map(({ mailbox_lag_ms: each }) => each));
  return [
    partOf('Gateways', gateways.length, gateways.length, '', ''),
    partOf(
      'Ingesters',
      healthy,
      members.length,
      ownerless > 0 ? `${ownerless} ${ownerless === 1 ? 'shard is' : 'shards are'} being taken over` : lagText(lag),
      'What clients do is seen when one runs again; the states of connections are those of before.',
    ),
    partOf('Dispatchers', working, dispatchers.length, '', 'Messages wait until one runs again.'),
    redisHealth(redis),
    brokerHealth(broker, brokerReach({ members, dispatchers })),
  ];
}

/** What the processes need: if it does not work, it is the cause of what else does not. */
const NEEDED: readonly string[] = ['Redis', 'Broker'];

/** The parts that do not work, causes first. */
export function faultsOf(cluster: Cluster): PartHealth[] {
  const bad = healthOf(cluster).filter(({ level }) => level === 'bad');
  return [...bad.filter(({ name }) => NEEDED.includes(name)), ...bad.filter(({ name }) => !NEEDED.includes(name))];
}

function brokerHealth(broker: Cluster['broker'], { without, isLost }: BrokerReach): PartHealth {
  const details = without.length === 0 ? '' : `by ${isLost ? 'any process: ' : ''}${without.join(', ')}`;
  const meaning = 'Messages wait. What clients do is seen when the broker is reached again.';
  if (isLost) return { name: 'Broker', level: 'bad', state: 'not reached', details, meaning };
  if (broker === null) return { name: 'Broker', level: 'neutral', state: 'not checked yet', details };
  if (without.length > 0) return { name: 'Broker', level: 'warn', state: 'not reached', details };
  return { name: 'Broker', level: 'good', state: 'connected', details };
}

/** Above this, entries wait noticeably. */
const LAG_MS = 1000;

function lagText(lag: number): string {
  return lag > LAG_MS ? `the oldest entry waits for ${(lag / 1000).toFixed(1)} s` : '';
}

function partOf(name: string, working: number, all: number, details: string, meaning: string): PartHealth {
  if (working === 0)
    return { name, level: 'bad', state: all === 0 ? 'none is running' : 'none works', details, meaning };
  const state = working === all ? `${all} up` : `${working} of ${all} work`;
  return { name, level: working < all || details !== '' ? 'warn' : 'good', state, details };
}

export function redisHealth(masters: Cluster['redis']): PartHealth {
  const used = masters.reduce((sum, { used_bytes: bytes }) => sum + bytes, 0);
  const limits = masters.map(({ limit_bytes: limit }) => limit);
  const limit = limits.some((each) => each === null)
    ? undefined
    : limits.reduce<number>((sum, each) => sum + (each ?? 0), 0);
  const details = limit === undefined ? `${mebibytes(used)}, no limit` : `${mebibytes(used)} of ${mebibytes(limit)}`;
  const full = masters.filter((master) => master.full).length;
  if (masters.length === 0) return { name: 'Redis', level: 'neutral', state: 'not read yet', details: '' };
  return full > 0
    ? {
        name: 'Redis',
        level: 'bad',
        state: 'full',
        details,
        meaning: 'No new message is accepted.',
      }
    : { name: 'Redis', level: 'good', state: `${masters.length} up`, details };
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576).toLocaleString('en')} MiB`;
}
