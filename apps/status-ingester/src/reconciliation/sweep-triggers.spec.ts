import type { Uptime } from '@app/broker';
import type { BrokerRestart, SweepTrigger } from '@app/registry';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { SweepTriggers } from './sweep-triggers.js';

let requested: SweepTrigger[];
let planned: { since: number; inMs: number }[];
let schedules: number[];
let restart: BrokerRestart | undefined;
let acted: BrokerRestart[];
let reports: number;
let planningFails: boolean;
let failures: number;
let triggers: SweepTriggers;

function begin(reconfirmWindowMs = 0): void {
  triggers = new SweepTriggers({
    maintenance: {
      requestSweep: (trigger) => {
        if (failures-- > 0) return Promise.reject(new Error('Redis is away'));
        requested.push(trigger);
        return Promise.resolve();
      },
      planReconfirmation: (since, inMs) =>
        planningFails
          ? Promise.reject(new Error('Redis is away'))
          : Promise.resolve(void planned.push({ since, inMs })),
      keepSchedule: (everyMs) => Promise.resolve(void schedules.push(everyMs)),
    },
    brokerRuns: {
      report: () => {
        reports++;
        return Promise.resolve(restart);
      },
      closeRestart: (one) => Promise.resolve(void acted.push(one)),
    },
    sweepEveryMs: 5000,
    reconfirmWindowMs,
    logger: quiet,
  });
}

beforeEach(() => {
  [requested, planned, schedules, restart, acted] = [[], [], [], undefined, []];
  [reports, failures, planningFails] = [0, 0, false];
  begin();
});
afterEach(() => triggers.stop());

function untilRequested(...triggers: SweepTrigger[]): Promise<void> {
  return eventually(`sweeps are requested: ${triggers.join(', ')}`, () => expect(requested).toEqual(triggers));
}

it('a sweep is requested on schedule', async () => {
  triggers.start();
  await eventually('the schedule is written', () => expect(schedules).toEqual([5000]));
});

it('a sweep is requested when a lane is acquired, and when a lane lost the broker', async () => {
  triggers.laneConnected({ sessionPresent: true, isReconnect: false, isIdle: false });
  triggers.laneConnected({ sessionPresent: true, isReconnect: true, isIdle: false });
  await untilRequested('start', 'broker-lost');
});

it('no sweep is requested when an idle lane was checked, except if the key space may be incomplete', async () => {
  const checked = { sessionPresent: true, isReconnect: true, isIdle: true };
  triggers.laneConnected(checked);
  triggers.laneConnected({ sessionPresent: true, isReconnect: true, isIdle: false });
  await untilRequested('broker-lost');
  triggers.possibleDataLoss();
  triggers.laneConnected(checked);
  triggers.laneConnected(checked);
  await untilRequested('broker-lost', 'key-space', 'key-space');
});

it('a sweep is requested when a session was lost', async () => {
  triggers.laneConnected({ sessionPresent: true, isReconnect: false, isIdle: false });
  triggers.laneConnected({ sessionPresent: false, isReconnect: true, isIdle: false });
  await untilRequested('start', 'session-lost');
});

it('a sweep is requested at once if the key space may be incomplete, is scheduled again, and is requested again when a lane is back', async () => {
  triggers.possibleDataLoss();
  triggers.laneConnected({ sessionPresent: true, isReconnect: false, isIdle: false });
  triggers.laneConnected({ sessionPresent: true, isReconnect: true, isIdle: false });
  await untilRequested('key-space', 'key-space', 'broker-lost');
  expect(schedules).toEqual([5000]);
});

it('a sweep is requested again if the request failed', async () => {
  failures = 2;
  triggers.laneConnected({ sessionPresent: true, isReconnect: false, isIdle: false });
  await untilRequested('start');
});

function uptime(seconds: number): Uptime {
  return { seconds, at: performance.now(), run: 'same' };
}

it('a restart of the broker requests a sweep, and plans the reconfirmation for the end of the window', async () => {
  begin(60_000);
  triggers.brokerUptime(uptime(10));
  await eventually('the uptime is reported', () => expect(reports).toBe(1));
  expect(requested).toEqual([]);
  restart = { run: 'second', since: 5000 };
  triggers.brokerUptime(uptime(10));
  await untilRequested('broker-restart');
  await eventually('the restart is marked as handled', () => expect(acted).toEqual([restart]));
  // The start is known to two seconds: a client that shook hands less than that before may have done so after the restart.
  expect(planned).toMatchObject([{ since: 3000 }]);
  expect(planned[0]?.inMs).toBeGreaterThan(40_000);
  expect(planned[0]?.inMs).toBeLessThanOrEqual(50_000);
});

it('a restart that could not be handled is handled at the next report', async () => {
  begin(60_000);
  restart = { run: 'second', since: 5000 };
  planningFails = true;
  triggers.brokerUptime(uptime(10));
  await eventually('the uptime is reported', () => expect(reports).toBe(1));
  expect(acted).toEqual([]);
  planningFails = false;
  triggers.brokerUptime(uptime(20));
  await eventually('the restart is marked as handled', () => expect(acted).toEqual([restart]));
});

it('a restart of the broker plans no reconfirmation if there is no window', async () => {
  restart = { run: 'second', since: 5000 };
  triggers.brokerUptime(uptime(10));
  await untilRequested('broker-restart');
  expect(planned).toEqual([]);
});

it('a drop that the broker reports after the stop requests no sweep, and starts no timer', async () => {
  const timers = jest.spyOn(global, 'setTimeout');
  await triggers.stop();
  triggers.brokerDropped(5);
  expect(timers).not.toHaveBeenCalled();
  timers.mockRestore();
});

it('a broker that drops messages all the time causes one request of a sweep per period', async () => {
  triggers.brokerDropped(5);
  await untilRequested('dropped');
  triggers.brokerDropped(5);
  triggers.laneConnected({ sessionPresent: true, isReconnect: false, isIdle: false });
  await untilRequested('dropped', 'start');
});
