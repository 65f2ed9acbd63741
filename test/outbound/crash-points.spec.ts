/**
 * A crash at every point between the acceptance of a message and its last status. Whatever crashes, and even if it was only
 * frozen and resumes: no accepted message is lost, the device receives the messages in the order of their acceptance and at
 * most once for each claim, and every status is true.
 */
import { connectRedis, type Redis } from '@app/platform';
import { EXPIRED_UNKNOWN, encodeToDo, type ReportOutcome } from '@app/registry';
import { quiet, startMosquitto, startRedis, type Server } from '../support/servers.js';
import { changeStoredMessage } from '../support/stored-message.js';
import { withoutGivenUpClaims } from '../support/claims.js';
import {
  accept,
  emittedStatuses,
  endOf,
  message,
  sent,
  untilAll,
  untilTrue,
  verify,
  verifyAnswered,
} from './support/crash-messages.js';
import { CLIENT, Stage, type CrashPoint } from './support/stage.js';

let redisServer: Server;
let broker: Server;
let redis: Redis;
let stages = 0;

/** All scenarios run at the same time, because each one mostly waits until a lock or a to-do expires. */
const scenarios: { group: string; name: string; play: (stage: Stage) => Promise<void> }[] = [];
const results = new Map<string, Promise<void>>();

beforeAll(async () => {
  [redisServer, broker] = await Promise.all([startRedis(), startMosquitto()]);
  redis = connectRedis(redisServer.url, { name: 'spec', whenAway: 'wait' }, quiet);
  for (const { name, play } of scenarios) {
    const played = onStage(play);
    // The test of this scenario reports a failure.
    played.catch(() => undefined);
    results.set(name, played);
  }
});

afterAll(async () => {
  await redis.quit();
  await Promise.all([redisServer.stop(), broker.stop()]);
});

async function onStage(play: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage(redisServer, broker, `crash${stages++}`, redis);
  await stage.open();
  try {
    await play(stage);
  } finally {
    await stage.close();
  }
}

/** So many that the dispatcher claims messages ahead several times. */
const MESSAGES = 40;

const ofDispatcher: [string, CrashPoint][] = [
  ['before it takes over what is claimed', { port: 'work', method: 'takeOver', when: 'before', call: 1 }],
  ['after it has taken over what is claimed', { port: 'work', method: 'takeOver', when: 'after', call: 1 }],
  ['before it claims the first message', { port: 'work', method: 'step', when: 'before', call: 1 }],
  ['after it has claimed the first message', { port: 'work', method: 'step', when: 'after', call: 1 }],
  ['before the publish', { port: 'publisher', method: 'publish', when: 'before', call: 1 }],
  ['after the publish, before it completes it', { port: 'publisher', method: 'publish', when: 'after', call: 1 }],
  ['after it has claimed messages ahead', { port: 'work', method: 'step', when: 'after', call: 2 }],
  [
    'before the publish of a message that is claimed ahead',
    { port: 'publisher', method: 'publish', when: 'before', call: 5 },
  ],
  [
    'after the publish of a message that is claimed ahead, before it completes it',
    { port: 'publisher', method: 'publish', when: 'after', call: 5 },
  ],
  ['before it completes messages that are claimed ahead', { port: 'work', method: 'step', when: 'before', call: 3 }],
  [
    'after it has completed messages that are claimed ahead, and claimed others',
    { port: 'work', method: 'step', when: 'after', call: 3 },
  ],
  ['after the last publish', { port: 'publisher', method: 'publish', when: 'after', call: MESSAGES }],
  ['by losing the reply to its first claim', { port: 'work', method: 'step', when: 'twice', call: 1 }],
  ['by losing the reply to its first claims ahead', { port: 'work', method: 'step', when: 'twice', call: 2 }],
  ['by losing the reply to a later completion', { port: 'work', method: 'step', when: 'twice', call: 4 }],
];

for (const [name, point] of ofDispatcher) {
  scenarios.push({
    group: 'dispatcher',
    name,
    play: async (stage) => {
      const victim = await stage.dispatcher(point);
      await stage.owner();
      const ids = await accept(stage, MESSAGES);
      await victim.crashed.passed;
      await stage.dispatcher();
      await untilAll(stage, ids);
      await verify(stage, ids);
      // It was only frozen, and resumes: it changes nothing, but may repeat a message that it has claimed.
      victim.thaw();
      const all = [...ids, ...(await accept(stage, 2, ids.length))];
      await untilAll(stage, all);
      await verify(stage, all);
    },
  });
}

for (const [name, point] of ofDispatcher.filter(([, { method, when }]) => method !== 'takeOver' && when !== 'twice')) {
  scenarios.push({
    group: 'answered',
    name,
    play: async (stage) => {
      const victim = await stage.dispatcher(point);
      const ids = await accept(stage, MESSAGES);
      await victim.crashed.passed;
      const outcomes = new Map<string, ReportOutcome | undefined>();
      for (const id of ids) outcomes.set(id, await stage.answer(id));
      const answered = ids.filter((id) => outcomes.get(id) === 'answered');
      const { length: before } = stage.received;
      await Promise.all([stage.dispatcher(), stage.owner()]);
      const end = (n: number): string => (answered.includes(ids[n] ?? '') ? 'answered' : endOf(n));
      await untilAll(stage, ids, end);
      await verifyAnswered(stage, ids, end);
      const later = stage.received.slice(before);
      expect(later.filter((id) => answered.includes(id))).toEqual([]);
      expect(later.length).toBeGreaterThanOrEqual(ids.length - answered.length);
      // It completes what it has published, which changes nothing.
      victim.thaw();
      const all = [...ids, ...(await accept(stage, 2, ids.length))];
      await untilAll(stage, all, end);
      await verifyAnswered(stage, all, end);
    },
  });
}

for (const [name, point] of ofDispatcher.filter(([, { port, call }]) => port === 'publisher' && call === 1)) {
  scenarios.push({
    group: 'unknown',
    name,
    play: async (stage) => {
      const victim = await stage.dispatcher(point);
      const { send } = await stage.gateway();
      const [messageId = ''] = await sent(send, [message(0, { idempotencyKey: 'key' })]);
      await victim.crashed.passed;
      await changeStoredMessage(redis, stage.keys.message(0, messageId), { ttl: '0' });
      await Promise.all([stage.dispatcher(), stage.owner()]);
      await untilAll(stage, [messageId], 'failed');
      // It completes what it has published, and publishes nothing more: its lease and the time to live have ended.
      victim.thaw();
      const ids = await accept(stage, 2, 2);
      await untilAll(stage, ids);
      expect(await emittedStatuses(stage, messageId)).toEqual(['queued', 'in_flight', 'failed']);
      expect((await stage.messages.read(messageId))?.history.at(-1)?.details).toBe(EXPIRED_UNKNOWN);
      expect(stage.received.filter((id) => id === messageId)).toHaveLength(point.when === 'after' ? 1 : 0);
    },
  });
}

const ofGateway: [string, CrashPoint][] = [
  ['before the message is stored', { port: 'messages', method: 'accept', when: 'before', call: 1 }],
  [
    'after it is stored, before its caller gets a response',
    { port: 'messages', method: 'accept', when: 'after', call: 1 },
  ],
  ['before it wakes a dispatcher', { port: 'wakeUps', method: 'wake', when: 'before', call: 1 }],
];

for (const [name, point] of ofGateway) {
  scenarios.push({
    group: 'gateway',
    name,
    play: async (stage) => {
      await stage.dispatcher();
      await stage.owner();
      const [dying, living] = await Promise.all([stage.gateway(point), stage.gateway()]);
      const request = message(0, { idempotencyKey: 'key' });
      // It never ends, or only when all is over: nobody waits for it.
      sent(dying.send, [request]).catch(() => undefined);
      await dying.victim.crashed.passed;
      // Its caller gets no response, and repeats the request with the same key.
      const ids = await sent(living.send, [request]);
      await untilAll(stage, ids);
      await verify(stage, ids);
      dying.victim.thaw();
      const all = [...ids, ...(await accept(stage, 2, ids.length))];
      await untilAll(stage, all);
      await verify(stage, all);
    },
  });
}

const ofOwner: [string, CrashPoint][] = [
  [
    'before it marks a message failed that its client refused',
    { port: 'outboxes', method: 'failByClient', when: 'before', call: 1 },
  ],
  [
    'after it has marked it failed, before it removes the to-do',
    { port: 'outboxes', method: 'failByClient', when: 'after', call: 1 },
  ],
];

for (const [name, point] of ofOwner) {
  scenarios.push({
    group: 'owner',
    name,
    play: async (stage) => {
      await stage.dispatcher();
      const ids = await accept(stage, 2);
      await untilAll(stage, ids, 'sent');
      const [first = ''] = ids;
      const todo = { do: 'message-error', client_id: CLIENT, in_response_to: first, details: 'broken' } as const;
      await redis.zadd(stage.keys.todo(0), 1, encodeToDo(todo));
      const victim = await stage.owner(point);
      await victim.crashed.passed;
      await stage.owner();
      await untilAll(stage, [first], 'failed');
      victim.thaw();
      await untilTrue('no to-do is left', async () => expect(await redis.exists(stage.keys.todo(0))).toBe(0));
      const { history = [] } = (await stage.messages.read(first)) ?? {};
      const statuses = history.map(({ status }) => status);
      expect(withoutGivenUpClaims(statuses)).toEqual(['queued', 'in_flight', 'sent', 'failed']);
      expect(await emittedStatuses(stage, first)).toEqual(statuses);
      expect([...new Set(stage.received)]).toEqual(ids);
    },
  });
}

const ofHousekeeping: [string, CrashPoint][] = [
  ['before it claims due to-dos', { port: 'due', method: 'claim', when: 'before', call: 3 }],
  ['after it has claimed due to-dos', { port: 'due', method: 'claim', when: 'after', call: 3 }],
];

for (const [name, point] of ofHousekeeping) {
  scenarios.push({
    group: 'answers',
    name,
    play: async (stage) => {
      await stage.dispatcher();
      const [, messageId = ''] = await accept(stage, 2);
      await untilAll(stage, [messageId], 'sent');
      const victim = await stage.owner(point);
      await victim.crashed.passed;
      await stage.owner();
      await untilAll(stage, [messageId], 'unanswered');
      victim.thaw();
      const statuses = await emittedStatuses(stage, messageId);
      expect(withoutGivenUpClaims(statuses)).toEqual(['queued', 'in_flight', 'sent', 'unanswered']);
    },
  });
}

for (const [name, point] of ofHousekeeping) {
  scenarios.push({
    group: 'owner',
    name,
    play: async (stage) => {
      const { send } = await stage.gateway();
      await redis.zrem(stage.keys.online(0, 'host'), CLIENT);
      const [messageId = ''] = await sent(send, [message(0, { ttlMs: 1, idempotencyKey: 'key' })]);
      const victim = await stage.owner(point);
      await victim.crashed.passed;
      await stage.owner();
      await untilAll(stage, [messageId], 'expired');
      victim.thaw();
      expect(await emittedStatuses(stage, messageId)).toEqual(['queued', 'expired']);
      expect(stage.received).toEqual([]);
    },
  });
}

describe.each([
  [
    'dispatcher',
    'a dispatcher that crashes',
    'leaves its message to the next dispatcher, which claims it before it sends it again',
  ],
  ['answered', 'a dispatcher that crashes', 'does not stop an answer, and what is answered is not published again'],
  [
    'unknown',
    'a dispatcher that crashes',
    'leaves a message that has expired, which fails since its outcome is unknown, and is not published again',
  ],
  ['gateway', 'a gateway that crashes', 'stores the message once, and the message is sent'],
  ['answers', "a shard's owner that crashes", 'leaves it to the next owner to give up waiting for an answer, once'],
  ['owner', "a shard's owner that crashes", 'leaves the to-do to the next owner, which does it once'],
])('%s', (group, who, what) => {
  const names = scenarios.filter((one) => one.group === group).map(({ name }) => name);

  it.each(names)(`${who} %s ${what}`, async (name) => {
    await results.get(name);
  });
});
