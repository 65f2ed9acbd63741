/**
 * Servers of a spec's own, on free loopback ports, started and stopped by the same code as the start command's.
 * Each has a folder of its own, removed when it stops.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@app/platform';

interface Started {
  readonly port: number;
  readonly url: string;
  readonly pid: number | undefined;
  stop(graceMs?: number): Promise<number | string>;
  kill(): Promise<number | string>;
}

interface StartOptions {
  dir: string;
  port?: number;
}

/** What is used of scripts/stack.mjs, which carries no types for TypeScript. */
interface StackScript {
  freePort(): Promise<number>;
  startRedis(options: StartOptions & { persist?: boolean; args?: string[] }): Promise<Started>;
  startMosquitto(options: StartOptions & { persist?: boolean; config?: string[] }): Promise<Started>;
  waitUntil<T>(
    check: () => T | Promise<T>,
    options?: { what?: string; timeoutMs?: number; everyMs?: number },
  ): Promise<T>;
}

const STACK_SCRIPT = '../../scripts/stack.mjs';

function stack(): Promise<StackScript> {
  return import(STACK_SCRIPT) as Promise<StackScript>;
}

export interface Server {
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  /** Ends it and waits until it has. */
  stop(): Promise<void>;
}

async function inFolder(start: (dir: string) => Promise<Started>): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), 'cloud-connector-spec-'));
  const part = await start(dir);
  if (part.pid === undefined) throw new Error('a server was started and has no process id');
  return {
    port: part.port,
    url: part.url,
    pid: part.pid,
    stop: async () => {
      await part.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** An empty Redis that keeps nothing on disk. */
export async function startRedis(): Promise<Server> {
  const { startRedis: start } = await stack();
  return inFolder((dir) => start({ dir }));
}

/** A Mosquitto without sessions or retained messages; `config`: further lines, of which the last of an option counts. */
export async function startMosquitto({
  port,
  config = [],
}: { port?: number; config?: string[] } = {}): Promise<Server> {
  const { startMosquitto: start } = await stack();
  return inFolder((dir) => start({ dir, config, ...(port !== undefined && { port }) }));
}

/** A loopback port on which nothing listens now. */
export async function freePort(): Promise<number> {
  const { freePort: find } = await stack();
  return find();
}

/** Resolves with what `check` returns as soon as it throws no more. */
export async function eventually<T>(check: () => T | Promise<T>, what = 'what the test waits for'): Promise<T> {
  const { waitUntil } = await stack();
  return waitUntil(check, { what, timeoutMs: 15_000, everyMs: 5 });
}

/** Says nothing. */
export const quiet = createLogger('spec', 'silent');

/** A promise and the two ends of it. */
export interface Gate<T = void> {
  readonly passed: Promise<T>;
  open(value: T): void;
  fail(error: Error): void;
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
