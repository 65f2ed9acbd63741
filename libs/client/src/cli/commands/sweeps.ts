/** The commands `cluster sweep` and `cluster sweep-status`. */
import type { CloudConnector } from '../../cloud-connector.js';
import { ProblemError } from '../../errors.js';
import type { Sweep } from '../../generated/types.gen.js';
import { pause } from '../../pause.js';
import { afterChanges } from '../changes.js';
import type { Context } from '../context.js';
import { EXIT, UsageError } from '../failures.js';
import type { Output } from '../output.js';

/** The event may be missing: the process that has to emit it may die. */
const READ_AGAIN_MS = 5000;
/** Without events. */
const POLL_MS = 1000;

export async function startSweep({ connector, args, out }: Context): Promise<number> {
  const before = await latestSweep(connector);
  const requested = await connector.startSweep();
  if (args.flag('wait')) return showSweep(await endOfSweep(connector, requested?.sweep_id, before), out);
  const follow = ['cloud-connector cluster sweep-status', ...(requested === undefined ? [] : [requested.sweep_id])];
  await out.result(
    { requested: true, ...(requested && { sweep_id: requested.sweep_id }) },
    `A sweep was requested; follow it with: ${follow.join(' ')}`,
  );
  return EXIT.done;
}

/** A gateway of version 0.1.0 says no id: then it is the first sweep after `before` that has ended. */
async function endOfSweep(
  connector: CloudConnector,
  id: string | undefined,
  before: Sweep | undefined,
): Promise<Sweep> {
  const done = new AbortController();
  let found: Sweep | undefined;
  const look = async (): Promise<void> => {
    found = id === undefined ? await endedSince(connector, before) : await endedSweep(connector, id);
    if (found !== undefined) done.abort();
  };
  try {
    await afterChanges(connector, { types: ['sweep.ended'], everyMs: READ_AGAIN_MS }, done.signal, look);
  } catch (error) {
    // A key that may sweep need not be allowed to read events.
    if (!(error instanceof ProblemError)) throw error;
  }
  for (;;) {
    if (found !== undefined) return found;
    await pause(POLL_MS, undefined);
    await look();
  }
}

async function endedSweep(connector: CloudConnector, id: string): Promise<Sweep | undefined> {
  const { state, sweep } = await withRetryAfter(() => connector.getSweep(id));
  return state === 'ended' && sweep !== null ? sweep : undefined;
}

async function endedSince(connector: CloudConnector, before: Sweep | undefined): Promise<Sweep | undefined> {
  const latest = await latestSweep(connector);
  return latest?.state === 'ended' && latest.sweep_id !== before?.sweep_id ? latest : undefined;
}

export async function sweepStatus({ connector, args, out }: Context): Promise<number> {
  const id = args.argument(0);
  if (id === undefined) return showSweep(await connector.getLatestSweep(), out);
  const { sweep, ...requested } = await connector.getSweep(id);
  if (sweep !== null) return showSweep(sweep, out);
  await out.describe(requested);
  return EXIT.done;
}

/** `sweep` of 0.1.0. */
export function sweep(context: Context): Promise<number> {
  const { args } = context;
  if (args.flag('latest') && args.flag('wait')) throw new UsageError('give --wait or --latest, not both');
  return args.flag('latest') ? sweepStatus(context) : startSweep(context);
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
      await pause(error.retryAfter * 1000, undefined);
    }
  }
}

async function showSweep(found: Sweep, out: Output): Promise<number> {
  await out.describe(found);
  return found.complete === false ? EXIT.failed : EXIT.done;
}
