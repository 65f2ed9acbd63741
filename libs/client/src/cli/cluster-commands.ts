/** The commands `sweep` and `cluster`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CloudConnector } from '../cloud-connector.js';
import { ProblemError } from '../errors.js';
import type { Cluster, Sweep } from '../generated/types.gen.js';
import { shown, type Context } from './context.js';
import { EXIT, UsageError } from './failures.js';
import type { Output } from './output.js';

const SWEEP_POLL_MS = 1000;

export async function sweep({ connector, args, out }: Context): Promise<number> {
  if (args.flag('latest') && args.flag('wait')) throw new UsageError('give --wait or --latest, not both');
  if (args.flag('latest')) return showSweep(await connector.getLatestSweep(), out);
  const before = await latestSweep(connector);
  const requested = await connector.startSweep();
  if (!args.flag('wait')) {
    if (out.json) await out.object({ requested: true, ...(requested && { sweep_id: requested.sweep_id }) });
    else await out.lines(['A sweep was requested; follow it with: cloud-connector sweep --latest']);
    return EXIT.done;
  }
  for (;;) {
    if (requested === undefined) {
      const latest = await latestSweep(connector);
      if (latest?.state === 'ended' && latest.sweep_id !== before?.sweep_id) return showSweep(latest, out);
    } else {
      const { state, sweep: found } = await withRetryAfter(() => connector.getSweep(requested.sweep_id));
      if (state === 'ended' && found !== null) return showSweep(found, out);
    }
    await sleep(SWEEP_POLL_MS);
  }
}

/** Undefined if there has been no sweep yet. */
async function latestSweep(connector: CloudConnector): Promise<Sweep | undefined> {
  try {
    return await withRetryAfter(() => connector.getLatestSweep());
  } catch (error) {
    if (error instanceof ProblemError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/** Reads again after the `Retry-After` of a gateway that cannot answer at the moment. */
async function withRetryAfter<Answer>(read: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ProblemError) || error.retryAfter === undefined) throw error;
      await sleep(error.retryAfter * 1000);
    }
  }
}

async function showSweep(found: Sweep, out: Output): Promise<number> {
  if (out.json) await out.object(found);
  else await out.table(['member', 'value'], membersAndValues(found));
  return found.complete === false ? EXIT.failed : EXIT.done;
}

function membersAndValues(object: object): string[][] {
  return Object.entries(object).map(([name, value]) => [name, shown(value)]);
}

export async function cluster({ connector, args, out }: Context): Promise<number> {
  const state = await connector.getCluster();
  if (out.json) await out.object(state);
  else {
    await out.table(['MEMBER', 'SINCE', 'SHARDS', 'LANES', 'WAITING', 'LAG'], membersOf(state));
    await showOthers(state, out);
    const ownerless = state.shards.filter(({ owner }) => owner === null).map(({ shard }) => shard);
    await out.lines([
      '',
      ownerless.length === 0 ? 'Every shard has an owner.' : `Shards without an owner: ${ownerless.join(', ')}`,
    ]);
    await showBroker(state, out);
  }
  if (out.json || !args.flag('shards')) return EXIT.done;
  await out.lines(['']);
  const rows = state.shards.map(({ shard, owner, epoch, mailbox_depth: depth, mailbox_lag_ms: lag }) =>
    [shard, owner ?? '-', epoch ?? '-', depth, `${lag} ms`].map(String),
  );
  await out.table(['SHARD', 'OWNER', 'EPOCH', 'WAITING', 'LAG'], rows);
  return EXIT.done;
}

/** A gateway of an older release sends neither dispatchers nor gateways. */
async function showOthers({ dispatchers, gateways }: Partial<Cluster>, out: Output): Promise<void> {
  if (dispatchers === undefined || gateways === undefined) return;
  await out.lines(['']);
  await out.table(
    ['DISPATCHER', 'SINCE', 'SHARDS'],
    dispatchers.map(({ name, since, takes_shards, shards }) => [
      takes_shards ? name : `${name} (takes no shards)`,
      since ?? '',
      `${shards}`,
    ]),
  );
  await out.lines(['']);
  await out.table(
    ['GATEWAY', 'SINCE'],
    gateways.map(({ name, since }) => [name, since]),
  );
}

/** A gateway of an older release sends no `broker`. */
async function showBroker({ broker }: Partial<Cluster>, out: Output): Promise<void> {
  if (broker === undefined) return;
  if (broker === null) return out.lines(['', 'No ingester has checked the broker yet.']);
  await out.lines(['']);
  await out.table(['BROKER', 'VALUE'], membersAndValues(broker));
}

function membersOf({ members, shards }: Cluster): string[][] {
  return members.map(({ id, name, since, draining, fitness, shards: owned, lanes }) => {
    const own = shards.filter(({ owner }) => owner === id);
    const waiting = own.reduce((total, { mailbox_depth: depth }) => total + depth, 0);
    const lag = Math.max(0, ...own.map(({ mailbox_lag_ms: ms }) => ms));
    const remarks = [...(draining ? ['draining'] : []), ...(fitness === 'fit' ? [] : [fitness])].join(', ');
    return [remarks === '' ? name : `${name} (${remarks})`, since, `${owned}`, `${lanes}`, `${waiting}`, `${lag} ms`];
  });
}
