/** What the state of the cluster means for each part. */
import type { Cluster } from '@cloud-connector/client';

export interface Light {
  name: string;
  tone: 'good' | 'warn' | 'bad' | 'neutral';
  state: string;
  details: string;
}

export function lightsOf({ gateways, members, dispatchers, shards, redis, broker }: Cluster): Light[] {
  const fit = members.filter(({ fitness, draining }) => fitness === 'fit' && !draining).length;
  const working = dispatchers.filter(({ takes_shards: works }) => works).length;
  const ownerless = shards.filter(({ owner }) => owner === null).length;
  const lag = Math.max(0, ...shards.map(({ mailbox_lag_ms: each }) => each));
  return [
    partOf('Gateways', gateways.length, gateways.length, ''),
    partOf('Ingesters', fit, members.length, ownerless > 0 ? `${ownerless} shards without an owner` : lagText(lag)),
    partOf('Dispatchers', working, dispatchers.length, ''),
    redisLight(redis),
    broker === null
      ? { name: 'Broker', tone: 'neutral', state: 'not checked yet', details: '' }
      : {
          name: 'Broker',
          tone: members.some(({ fitness }) => fitness !== 'fit') ? 'warn' : 'good',
          state: 'in use',
          details: '',
        },
  ];
}

/** Above this, entries wait noticeably. */
const LAG_MS = 1000;

function lagText(lag: number): string {
  return lag > LAG_MS ? `the oldest entry waits for ${(lag / 1000).toFixed(1)} s` : '';
}

function partOf(name: string, working: number, all: number, details: string): Light {
  if (working === 0) return { name, tone: 'bad', state: all === 0 ? 'none is running' : 'none works', details };
  const state = working === all ? `${all} up` : `${working} of ${all} work`;
  return { name, tone: working < all || details !== '' ? 'warn' : 'good', state, details };
}

function redisLight(masters: Cluster['redis']): Light {
  const used = masters.reduce((sum, { used_bytes: bytes }) => sum + bytes, 0);
  const limits = masters.map(({ limit_bytes: limit }) => limit);
  const limit = limits.some((each) => each === null)
    ? undefined
    : limits.reduce<number>((sum, each) => sum + (each ?? 0), 0);
  const details = limit === undefined ? `${mebibytes(used)}, no limit` : `${mebibytes(used)} of ${mebibytes(limit)}`;
  const full = masters.filter((master) => master.full).length;
  if (masters.length === 0) return { name: 'Redis', tone: 'neutral', state: 'not read yet', details: '' };
  return full > 0
    ? { name: 'Redis', tone: 'bad', state: 'full: no new message is accepted', details }
    : { name: 'Redis', tone: 'good', state: `${masters.length} up`, details };
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576).toLocaleString('en')} MiB`;
}
