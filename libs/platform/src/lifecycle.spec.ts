import { pino } from 'pino';
import { Draining } from './draining.js';
import { Lifecycle, SERVERS, type LifecycleStep } from './lifecycle.js';

let done: string[];
let lines: Record<string, unknown>[];
let draining: Draining;

beforeEach(() => {
  done = [];
  lines = [];
  draining = new Draining();
});

function lifecycle(...steps: (LifecycleStep | typeof SERVERS)[]): Lifecycle {
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return new Lifecycle(steps, draining, pino({ level: 'debug', messageKey: 'message' }, { write }));
}

function step(name: string, more: Partial<LifecycleStep> = {}): LifecycleStep {
  return { name, start: () => void done.push(`start ${name}`), stop: () => void done.push(`stop ${name}`), ...more };
}

const never = (): Promise<void> => new Promise(() => undefined);

/** Closes the app in the order of Nest. */
async function close(of: Lifecycle): Promise<void> {
  await of.onModuleDestroy();
  done.push('servers closed');
  await of.onApplicationShutdown();
}

describe('Lifecycle', () => {
  it('starts steps from top to bottom, and stops them from bottom to top, with the servers in between', async () => {
    const app = lifecycle(step('redis'), step('queues'), SERVERS, step('key space'), step('feed'));
    expect(await app.start()).toBe(true);
    await close(app);
    expect(app.allStopped).toBe(true);
    expect(done).toEqual([
      ...['start redis', 'start queues', 'start key space', 'start feed'],
      ...['stop feed', 'stop key space', 'servers closed', 'stop queues', 'stop redis'],
    ]);
  });

  it('stops every step before the servers if the list does not name them', async () => {
    const app = lifecycle(step('one'), step('two'));
    await app.start();
    await close(app);
    expect(done.slice(2)).toEqual(['stop two', 'stop one', 'servers closed']);
  });

  it('reports unready and aborts the starts before it stops a step', async () => {
    let stopping: AbortSignal | undefined;
    const seen: unknown[] = [];
    const app = lifecycle({
      name: 'one',
      start: (signal) => void (stopping = signal),
      stop: () => void seen.push(draining.started, stopping?.aborted),
    });
    await app.start();
    expect([draining.started, stopping?.aborted]).toEqual([false, false]);
    await close(app);
    expect(seen).toEqual([true, true]);
  });

  it('stops what was started if a step does not start, and rejects with the cause', async () => {
    const cause = new Error('no key space');
    const app = lifecycle(
      { name: 'connection', stop: () => void done.push('stop connection') },
      step('one'),
      SERVERS,
      step('two', { start: () => Promise.reject(cause) }),
      step('three'),
      { name: 'queue', stop: () => void done.push('stop queue') },
    );
    await expect(app.start()).rejects.toBe(cause);
    expect(done).toEqual(['start one', 'stop queue', 'stop two', 'stop one', 'stop connection']);
    expect(lines).toMatchObject([{ step: 'two', level: 50 }]);
    await close(app);
    expect(done.slice(5)).toEqual(['servers closed']);
  });

  it('ends the start without an error if the app stops first, and starts no further step', async () => {
    const app = lifecycle(
      step('waits', {
        start: (stopping) =>
          new Promise((_, reject) => stopping.addEventListener('abort', () => reject(new Error('aborted')))),
      }),
      step('never started'),
    );
    const started = app.start();
    await close(app);
    expect(await started).toBe(false);
    expect(done).toEqual(['stop waits', 'servers closed']);
  });

  it('goes on with the next step if a stop exceeds its time limit, and logs the step', async () => {
    const app = lifecycle(step('redis'), step('worker', { stop: never, stopWithinMs: 1 }));
    await app.start();
    await close(app);
    expect(done.slice(2)).toEqual(['stop redis', 'servers closed']);
    expect(lines).toMatchObject([{ step: 'worker', wait_ms: 1, level: 40 }]);
    expect(app.allStopped).toBe(false);
  });

  it('goes on with the next step if a stop fails, and logs the cause', async () => {
    const fail = (): never => {
      throw new Error('it broke');
    };
    const app = lifecycle(step('redis'), step('worker', { stop: fail }));
    await app.start();
    await close(app);
    expect(done.slice(2)).toEqual(['stop redis', 'servers closed']);
    expect(lines).toMatchObject([{ step: 'worker', level: 50, err: { message: 'it broke' } }]);
    expect(app.allStopped).toBe(false);
  });
});
