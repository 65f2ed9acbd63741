import { eventually, gate, quiet } from '../../../test/support/servers.js';
import { Ingester, type IngesterParts } from './ingester.js';

it('hands its shards over although the maintenance worker does not close', async () => {
  const closing = gate();
  const handedOver = gate();
  const stopped = { stop: () => Promise.resolve() };
  const parts: { [Part in keyof IngesterParts]?: unknown } = {
    laneWatch: { stop: () => undefined },
    memory: { stop: () => undefined },
    housekeeping: stopped,
    recount: stopped,
    eventRetention: stopped,
    worker: { stop: () => closing.passed },
    ownership: {
      stop: () => {
        handedOver.open();
        return Promise.resolve();
      },
    },
    logger: quiet,
  };
  let isDone = false;
  const shutdown = new Ingester(parts as IngesterParts).beforeApplicationShutdown().then(() => (isDone = true));
  await handedOver.passed;
  expect(isDone).toBe(false);
  closing.open();
  await shutdown;
  await eventually(() => expect(isDone).toBe(true));
});
