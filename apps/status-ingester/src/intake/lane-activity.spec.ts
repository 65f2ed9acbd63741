import type { IntakePacket } from '@app/broker';
import { TopicTemplate } from '@app/protocol';
import { LaneActivity, type QuietTiming } from './lane-activity.js';

const MINUTE = 60_000;
const TIMING: QuietTiming = { quietMs: MINUTE, longestQuietMs: 5 * MINUTE };
const status = new TopicTemplate('status/{clientId}');
const other = new TopicTemplate('in/{clientId}');

let activity: LaneActivity;

beforeEach(() => {
  // A random number of 1: the whole time passes before each check.
  activity = new LaneActivity([status, other], () => 1);
  activity.connected(0);
});

function receive(now: number, template = status): void {
  activity.batchReceived([{ topic: template.topicOf('host') } as IntakePacket], now);
  activity.batchEnded();
}

/** Checks the lane as soon as that is due, and connects it again. @returns how long it had been quiet by the filter */
function quietUntilCheck(from: number, template = status): number {
  let now = from;
  while (!activity.isCheckDue(template, now, TIMING)) now += 1000;
  activity.checked([template], TIMING);
  activity.disconnected();
  activity.connected(now);
  return now - from;
}

describe('LaneActivity, a quiet lane', () => {
  it('is to be checked after a minute, then after two, four and five', () => {
    let now = 0;
    const waits = Array.from({ length: 5 }, () => {
      const wait = quietUntilCheck(now);
      now += wait;
      return wait / MINUTE;
    });
    expect(waits).toEqual([1, 2, 4, 5, 5]);
  });

  it('is checked earlier by up to half of the time, so that lanes take turns', () => {
    for (const [random, first] of [
      [0, 30_000],
      [0.5, 45_000],
      [1, 60_000],
    ] as const) {
      activity = new LaneActivity([status], () => random);
      activity.connected(0);
      expect(activity.isCheckDue(status, first - 1, TIMING)).toBe(false);
      expect(activity.isCheckDue(status, first, TIMING)).toBe(true);
    }
  });

  it('is not checked while it receives something by the filter, stores a batch or is disconnected', () => {
    receive(MINUTE);
    expect(activity.isCheckDue(status, 2 * MINUTE - 1, TIMING)).toBe(false);
    expect(activity.isCheckDue(status, 2 * MINUTE, TIMING)).toBe(true);
    activity.batchReceived([], 2 * MINUTE);
    expect(activity.isCheckDue(status, 9 * MINUTE, TIMING)).toBe(false);
    activity.batchEnded();
    activity.disconnected();
    expect(activity.isCheckDue(status, 9 * MINUTE, TIMING)).toBe(false);
  });

  it('is checked by each filter: what comes by another one proves nothing', () => {
    receive(MINUTE, other);
    expect(activity.isCheckDue(status, MINUTE, TIMING)).toBe(true);
    expect(activity.isCheckDue(other, MINUTE, TIMING)).toBe(false);
  });

  it('is checked ever more rarely by a filter that brings something for less than five minutes', () => {
    let now = 0;
    const waits = Array.from({ length: 5 }, () => {
      receive(now + 1000);
      const wait = quietUntilCheck(now + 1000);
      now += 1000 + wait;
      return wait / MINUTE;
    });
    expect(waits).toEqual([1, 2, 4, 5, 5]);
  });

  it('is checked after a minute again when a connection has brought something for five minutes', () => {
    let now = quietUntilCheck(0);
    now += quietUntilCheck(now);
    receive(now + 5 * MINUTE);
    expect(quietUntilCheck(now + 5 * MINUTE)).toBe(MINUTE);
  });
});

describe('LaneActivity.hasReceivedSince', () => {
  it('says whether something came by the filter after that time', () => {
    expect(activity.hasReceivedSince(status, 0)).toBe(false);
    receive(10);
    expect(activity.hasReceivedSince(status, 9)).toBe(true);
    expect(activity.hasReceivedSince(status, 10)).toBe(false);
    expect(activity.hasReceivedSince(other, 0)).toBe(false);
  });
});
