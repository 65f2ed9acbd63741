import type { SweepTrigger } from '@app/registry';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { SweepTriggers } from './sweep-triggers.js';

let asked: SweepTrigger[];
let planned: { since: number; inMs: number }[];
let schedules: number[];
let restartedAt: number | undefined;
let failures: number;
let triggers: SweepTriggers;

function begin(reconfirmWindowMs = 0): void {
  triggers = new SweepTriggers({
    maintenance: {
      requestSweep: (trigger) => {
        if (failures-- > 0) return Promise.reject(new Error('Redis is away'));
        asked.push(trigger);
        return Promise.resolve();
      },
      planReconfirmation: (since, inMs) => Promise.resolve(void planned.push({ since, inMs })),
      keepSchedule: (everyMs) => Promise.resolve(void schedules.push(everyMs)),
    },
    sweeps: { brokerRuns: () => Promise.resolve(restartedAt) },
    sweepEveryMs: 5000,
    reconfirmWindowMs,
    logger: quiet,
  });
}

beforeEach(() => {
  [asked, planned, schedules, restartedAt, failures] = [[], [], [], undefined, 0];
  begin();
});
afterEach(() => triggers.stop());

function untilAsked(...wanted: SweepTrigger[]): Promise<void> {
  return eventually(() => expect(asked).toEqual(wanted));
}

it('keeps the schedule', async () => {
  triggers.start();
  await eventually(() => expect(schedules).toEqual([5000]));
});

it('asks when a lane was taken on, and when it had lost the broker', async () => {
  triggers.laneConnected({ sessionPresent: true, again: false });
  triggers.laneConnected({ sessionPresent: true, again: true });
  await untilAsked('start', 'broker-lost');
});

it('asks where a session was lost', async () => {
  triggers.laneConnected({ sessionPresent: true, again: false });
  triggers.laneConnected({ sessionPresent: false, again: true });
  await untilAsked('start', 'session-lost');
});

it('asks at once where the key space is in doubt, plans anew, and asks again when a lane is back', async () => {
  triggers.dataDoubted();
  triggers.laneConnected({ sessionPresent: true, again: false });
  triggers.laneConnected({ sessionPresent: true, again: true });
  await untilAsked('key-space', 'key-space', 'broker-lost');
  expect(schedules).toEqual([5000]);
});

it('asks again where asking failed', async () => {
  failures = 2;
  triggers.laneConnected({ sessionPresent: true, again: false });
  await untilAsked('start');
});

it('asks at a restart of the broker, and has clients confirm themselves for the rest of the window', async () => {
  begin(60_000);
  triggers.brokerRuns(10);
  restartedAt = 1234;
  triggers.brokerRuns(10);
  await untilAsked('broker-restart');
  expect(planned).toEqual([{ since: 1234, inMs: 50_000 }]);
});

it('has nobody confirm himself where there is no window', async () => {
  restartedAt = 1234;
  triggers.brokerRuns(10);
  await untilAsked('broker-restart');
  expect(planned).toEqual([]);
});

it('asks once in a while where the broker drops messages all the time', async () => {
  triggers.brokerDropped(5);
  await untilAsked('dropped');
  triggers.brokerDropped(5);
  triggers.laneConnected({ sessionPresent: true, again: false });
  await untilAsked('dropped', 'start');
});
