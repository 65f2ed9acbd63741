/**
 * Servers of a spec's own, on free loopback ports, started and stopped by the same code as the start command's.
 * Each has a folder of its own, removed when it stops.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@app/platform';
import * as topologies from '../../scripts/redis-topologies.mjs';
import * as stack from '../../scripts/stack.mjs';

interface Stoppable {
  /** Ends it, by its process id, and waits until it has. */
  readonly stop: () => Promise<void>;
}

export interface Server extends Stoppable {
  readonly port: number;
  readonly url: string;
}

export interface ServerProcess extends Server {
  readonly pid: number;
}

/** Starts something in a folder of its own, which goes when it stops. */
async function inFolder<T extends { stop(): Promise<unknown> }>(
  start: (dir: string) => Promise<T>,
): Promise<{ started: T; stop: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'cloud-connector-spec-'));
  const started = await start(dir);
  const stop = async (): Promise<void> => {
    await started.stop();
    await rm(dir, { recursive: true, force: true });
  };
  return { started, stop };
}

async function server(
  start: (dir: string) => Promise<stack.Part & { port: number; url: string }>,
): Promise<ServerProcess> {
  const { started, stop } = await inFolder(start);
  const { pid, port, url } = started;
  if (pid === undefined) throw new Error('the server has no process');
  return { pid, port, url, stop };
}

/** An empty Redis that keeps nothing on disk. */
export function startRedis(): Promise<Server> {
  return server((dir) => stack.startRedis({ dir }));
}

export type RedisCluster = Omit<Awaited<ReturnType<typeof topologies.startRedisCluster>>, 'stop'> & Stoppable;

/** An empty Redis Cluster of three masters. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const { started, stop } = await inFolder((dir) => topologies.startRedisCluster({ dir }));
  return { ...started, stop };
}

export type Sentinels = Omit<Awaited<ReturnType<typeof topologies.startSentinels>>, 'stop'> & Stoppable;

/** A master, a replica and the Sentinels that watch them. */
export async function startSentinels(): Promise<Sentinels> {
  const { started, stop } = await inFolder((dir) => topologies.startSentinels({ dir }));
  return { ...started, stop };
}

/** A Mosquitto without sessions or retained messages; `config`: further lines, of which the last of an option counts. */
export function startMosquitto({
  port,
  config = [],
}: { port?: number; config?: string[] } = {}): Promise<ServerProcess> {
  return server((dir) => stack.startMosquitto({ dir, config, ...(port !== undefined && { port }) }));
}

/** Freezes the process of a server until `resume`: it keeps its connections and answers nothing. */
export function freeze({ pid }: ServerProcess): { resume: () => void } {
  process.kill(pid, 'SIGSTOP');
  return { resume: () => void process.kill(pid, 'SIGCONT') };
}

/** A loopback port on which nothing listens now. */
export function freePort(): Promise<number> {
  return stack.freePort();
}

/**
 * Repeats `check` until it no longer throws, and resolves with what it returned. Gives up after 60 s; the error then
 * names `what` and carries the last failure of `check`.
 */
export function eventually<T>(what: string, check: () => T | Promise<T>): Promise<T> {
  return stack.waitUntil(check, { what, everyMs: 5 });
}

/** Says nothing. */
export const quiet = createLogger('spec', 'silent');

/** A promise and the two ends of it. */
export interface Gate<T = void> {
  readonly passed: Promise<T>;
  readonly open: (value: T) => void;
  readonly fail: (error: Error) => void;
}

export function gate<T = void>(): Gate<T> {
  let open!: (value: T) => void;
  let fail!: (error: Error) => void;
  const passed = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { passed, open, fail };
}
