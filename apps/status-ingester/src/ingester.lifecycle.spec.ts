import { Draining } from '@app/platform';
import { eventually, gate, quiet } from '../../../test/support/servers.js';
import { IngesterLifecycle } from './ingester.lifecycle.js';

type Dependencies = ConstructorParameters<typeof IngesterLifecycle>;

/** A lifecycle whose dependencies write each call into `log`. */
function lifecycleWith(log: string[], worker: object = recorder(log, 'worker', 'start', 'beginStop', 'stop')) {
  const redis = { ping: () => Promise.resolve('PONG'), info: () => Promise.resolve('') };
  const draining = new Draining();
  const dependencies = [
    recorder(log, 'connections', 'close'),
    redis,
    recorder(log, 'wakeUps', 'close'),
    recorder(log, 'maintenance', 'close'),
    recorder(log, 'publisher', 'close'),
    recorder(log, 'gate', 'start', 'stop'),
    recorder(log, 'watch', 'close'),
    recorder(log, 'triggers', 'start', 'stop'),
    recorder(log, 'reader', 'close'),
    recorder(log, 'verifier', 'stop'),
    undefined,
    recorder(log, 'todos', 'stop'),
    recorder(log, 'loop', 'stop'),
    { current: () => Promise.resolve({ format: 1, sessions: 1 }) },
    recorder(log, 'standBy', 'untilAlone'),
    worker,
    recorder(log, 'ownership', 'start', 'stop'),
    {},
    recorder(log, 'memory', 'start', 'stop'),
    recorder(log, 'housekeeping', 'start', 'stop'),
    recorder(log, 'recount', 'start', 'stop'),
    recorder(log, 'eventRetention', 'start', 'stop'),
    recorder(log, 'laneWatch', 'start', 'stop'),
    recorder(log, 'checks', 'stop'),
    recorder(log, 'queueLimit', 'start', 'stop'),
    { SHUTDOWN_GRACE: 10_000 },
    draining,
    quiet,
  ];
  return { lifecycle: new IngesterLifecycle(...(dependencies as unknown as Dependencies)), draining };
}

function recorder(log: string[], name: string, ...methods: string[]): object {
  const record = (method: string) => () => {
    log.push(`${name}.${method}`);
    return Promise.resolve();
  };
  return Object.fromEntries(methods.map((method) => [method, record(method)]));
}

describe('IngesterLifecycle', () => {
  it('takes part only after ingesters of an older release have ended', async () => {
    const log: string[] = [];
    const { lifecycle } = lifecycleWith(log);
    await lifecycle.start();
    expect(log.slice(0, 4)).toEqual(['gate.start', 'standBy.untilAlone', 'queueLimit.start', 'ownership.start']);
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
      'queueLimit.stop',
      'gate.stop',
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
    await eventually('the ownership stops', () => expect(log).toContain('ownership.stop'));
    expect(isDone).toBe(false);
    closing.open();
    await shutdown;
    expect(isDone).toBe(true);
  });
});
