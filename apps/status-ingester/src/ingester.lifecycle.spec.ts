import { Draining } from '@app/platform';
import { eventually, gate, quiet } from '../../../test/support/servers.js';
import { IngesterLifecycle } from './ingester.lifecycle.js';

type Dependencies = ConstructorParameters<typeof IngesterLifecycle>;

/** A lifecycle whose parts note in `log` what is asked of them. */
function lifecycleWith(log: string[], worker: object = part(log, 'worker', 'start', 'beginStop', 'stop')) {
  const redis = { ping: () => Promise.resolve('PONG'), info: () => Promise.resolve('') };
  const draining = new Draining();
  const dependencies = [
    part(log, 'connections', 'close'),
    redis,
    part(log, 'wakeUps', 'close'),
    part(log, 'maintenance', 'close'),
    part(log, 'publisher', 'close'),
    part(log, 'watch', 'close'),
    part(log, 'triggers', 'start', 'stop'),
    part(log, 'reader', 'close'),
    part(log, 'verifier', 'stop'),
    undefined,
    part(log, 'todos', 'stop'),
    part(log, 'loop', 'stop'),
    { current: () => Promise.resolve({ format: 1, sessions: 1 }) },
    part(log, 'standBy', 'untilAlone'),
    worker,
    part(log, 'ownership', 'start', 'stop'),
    {},
    part(log, 'memory', 'start', 'stop'),
    part(log, 'housekeeping', 'start', 'stop'),
    part(log, 'recount', 'start', 'stop'),
    part(log, 'eventRetention', 'start', 'stop'),
    part(log, 'laneWatch', 'start', 'stop'),
    { SHUTDOWN_GRACE: 10_000 },
    draining,
    quiet,
  ];
  return { lifecycle: new IngesterLifecycle(...(dependencies as unknown as Dependencies)), draining };
}

function part(log: string[], name: string, ...methods: string[]): object {
  const noting = (method: string) => () => {
    log.push(`${name}.${method}`);
    return Promise.resolve();
  };
  return Object.fromEntries(methods.map((method) => [method, noting(method)]));
}

describe('IngesterLifecycle', () => {
  it('takes part only after ingesters of an older release have ended', async () => {
    const log: string[] = [];
    const { lifecycle } = lifecycleWith(log);
    await lifecycle.start();
    expect(log.slice(0, 3)).toEqual(['standBy.untilAlone', 'ownership.start', 'memory.start']);
    expect(log).toContain('laneWatch.start');
  });

  it('gives shards and lanes back before the servers close, and closes Redis last', async () => {
    const log: string[] = [];
    const { lifecycle, draining } = lifecycleWith(log);
    await lifecycle.start();
    log.length = 0;
    await lifecycle.onModuleDestroy();
    expect(draining.started).toBe(true);
    expect(log).toEqual([
      'laneWatch.stop',
      'worker.beginStop',
      'housekeeping.stop',
      'recount.stop',
      'eventRetention.stop',
      'memory.stop',
      'ownership.stop',
      'worker.stop',
    ]);
    log.length = 0;
    await lifecycle.onApplicationShutdown();
    expect(log.slice(0, 2)).toEqual(['loop.stop', 'todos.stop']);
    expect(log.slice(-4)).toEqual(['publisher.close', 'wakeUps.close', 'maintenance.close', 'connections.close']);
  });

  it('hands its shards over although the maintenance worker does not close', async () => {
    const closing = gate();
    const log: string[] = [];
    const { lifecycle } = lifecycleWith(log, {
      start: () => undefined,
      beginStop: () => undefined,
      stop: () => closing.passed,
    });
    await lifecycle.start();
    let isDone = false;
    const shutdown = lifecycle.onModuleDestroy().then(() => (isDone = true));
    await eventually(() => expect(log).toContain('ownership.stop'));
    expect(isDone).toBe(false);
    closing.open();
    await shutdown;
    expect(isDone).toBe(true);
  });
});
