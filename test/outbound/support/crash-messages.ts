/** What callers send in the scenarios of crashes, and what must be true of it when all work is finished. */
import { MESSAGE_STATUSES, eventsOfEntry, readMessageCounts, type NewMessage } from '@app/registry';
import { waitUntil } from '../../../scripts/stack.mjs';
import type { SendOutcome } from '../../../apps/api-gateway/src/messages/message-sender.js';
import { publishedWithoutClaim } from '../../support/claims.js';
import { CLIENT, type Stage } from './stage.js';

export function message(n: number, more: Partial<NewMessage> = {}): NewMessage {
  return {
    clientId: CLIENT,
    directive: 'test:crash',
    payloadJson: `${n}`,
    ttlMs: 600_000,
    whenOffline: 'hold',
    idempotencyKey: undefined,
    requestId: 'r',
    ...more,
  };
}

/** Every other message awaits an answer, which does not come. */
const AWAITS = { responseTimeoutMs: 100 };

export function endOf(n: number): 'sent' | 'unanswered' {
  return n % 2 === 0 ? 'sent' : 'unanswered';
}

/** @param from the number of messages that were accepted before */
export async function accept(stage: Stage, count: number, from = 0): Promise<string[]> {
  const { send } = await stage.gateway();
  const numbers = Array.from({ length: count }, (_, i) => from + i);
  const messages = numbers.map((n) => message(n, endOf(n) === 'sent' ? {} : AWAITS));
  return sent(
    send,
    messages.map((one, i) => ({ ...one, idempotencyKey: `number ${from + i}` })),
  );
}

/**
 * Sends messages with an Idempotency-Key, as callers do: again if the gateway says that Redis did not answer in time, which on a
 * slow machine it may. @returns their ids
 */
export async function sent(
  send: (messages: NewMessage[]) => Promise<SendOutcome[]>,
  messages: NewMessage[],
): Promise<string[]> {
  return waitUntil(
    async () =>
      (await send(messages)).map((outcome) => {
        if (outcome.kind !== 'accepted') throw new Error(`not accepted but ${outcome.kind}`);
        return outcome.message.messageId;
      }),
    { what: 'the gateway accepts the messages' },
  );
}

/** Checks what must be true when all work is finished. */
export async function verify(stage: Stage, ids: readonly string[]): Promise<void> {
  for (const [n, id] of ids.entries()) {
    const { history } = (await stage.messages.read(id)) ?? { history: [] };
    const moves = history.map(({ status }) => status);
    expect([moves[0], moves.at(-1)]).toEqual(['queued', endOf(n)]);
    expect(await emittedStatuses(stage, id)).toEqual(moves);
  }
  const firsts = stage.received.filter((id, i) => stage.received.indexOf(id) === i);
  expect(firsts).toEqual(ids);
  await verifyCounts(stage);
}

async function verifyCounts(stage: Stage): Promise<void> {
  expect(await publishedWithoutClaim(stage.redis, stage.keys, 0, stage.received)).toEqual([]);
  expect(await countedStatuses(stage)).toEqual(await emittedCounts(stage));
  const { keys } = stage;
  const left = [keys.outbox(0, CLIENT), keys.expiry(0), keys.awaiting(0), keys.todo(0), keys.ready(0), keys.claimed(0)];
  expect(await stage.redis.exists(...left)).toBe(0);
}

/** The same if some messages were answered. They may be repeated by a dispatcher that was frozen, or never have been published. */
export async function verifyAnswered(stage: Stage, ids: readonly string[], end: (n: number) => string): Promise<void> {
  for (const [n, id] of ids.entries()) {
    const moves = await emittedStatuses(stage, id);
    expect([moves[0], moves.at(-1), moves.filter((status) => status === end(n))]).toEqual(['queued', end(n), [end(n)]]);
    expect((await stage.messages.read(id))?.history.map(({ status }) => status)).toEqual(moves);
  }
  const firsts = [...new Set(stage.received)];
  expect(firsts).toEqual(ids.filter((id) => firsts.includes(id)));
  await verifyCounts(stage);
}

/** The statuses in the events of a message, in their order. */
export async function emittedStatuses(stage: Stage, id: string): Promise<string[]> {
  return (await emitted(stage))
    .filter(({ message_id }) => message_id === id)
    .map(({ status }) => (status === 'held' ? 'queued' : status));
}

async function emitted(stage: Stage): Promise<{ type: string; message_id: string; status: string }[]> {
  const entries = await stage.redis.xrange(stage.keys.events(0), '-', '+');
  return entries
    .flatMap(([entry, fields]) => eventsOfEntry(entry, 0, fields))
    .map(({ text }) => JSON.parse(text) as { type: string; message_id: string; status: string });
}

/** How many events of messages there are by status. */
async function emittedCounts(stage: Stage): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { type, status } of await emitted(stage)) {
    if (type === 'message.status') counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

/** What the counters of the last hour say. */
async function countedStatuses(stage: Stage): Promise<Record<string, number>> {
  const minutes = await readMessageCounts(stage.redis, stage.keys, 1, Number((await stage.redis.time())[0]) * 1000);
  const counts = MESSAGE_STATUSES.map(
    (status) => [status, minutes.reduce((sum, one) => sum + one[status], 0)] as const,
  );
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** Looks less often than `eventually`: a lost wake-up is repeated after 10 s, and a dispatcher's lock expires after some seconds. */
export function untilTrue(what: string, check: () => Promise<void>): Promise<void> {
  return waitUntil(check, { what });
}

/** Until each message has reached its last status, or a given one. */
export async function untilAll(
  stage: Stage,
  ids: readonly string[],
  wanted: string | ((n: number) => string) = endOf,
): Promise<void> {
  for (const [n, id] of ids.entries()) {
    const status = typeof wanted === 'string' ? wanted : wanted(n);
    await untilTrue(`message ${id} is ${status}`, async () =>
      expect((await stage.messages.read(id))?.status).toBe(status),
    );
  }
  await untilTrue('no to-do is left', async () => expect(await stage.redis.exists(stage.keys.todo(0))).toBe(0));
}
