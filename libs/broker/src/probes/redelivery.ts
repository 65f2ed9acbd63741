/** What happens to unacknowledged messages of a share group when the member that received them dies. */
import type { Received } from '../check/check-connection.js';
import { ok, probe, weaker, wrong, type Finding, type Measured } from './probe.js';

const MESSAGES = 20;
const ARRIVE_MS = 2000;
const QUIET_MS = 500;

export interface Redelivery extends Measured {
  unacknowledged: number;
  /** Of the unacknowledged ones. */
  lost: number;
  to_others: number;
  to_itself: number;
  /** null: fewer than two of them were unacknowledged, so they have no order. */
  ordered: boolean | null;
  dup: boolean;
  same_packet_ids: boolean;
}

export const redelivery = probe<Redelivery>({
  name: 'redelivery',
  needed: 'unacknowledged messages come again, in order, with DUP and their packet ids',
  isEssential: true,
  limitMs: 8000,
  measure: async (broker) => {
    const filter = broker.topics.shared('redelivery/+');
    const first = await broker.client({ keepsSession: true, acknowledges: false });
    await first.subscribeAll([filter]);
    const device = await broker.client();
    await device.publishAll(
      Array.from({ length: MESSAGES }, (_, i) => ({ topic: broker.topics.at('redelivery/a'), payload: `${i}` })),
    );
    await first.until(() => first.received.length >= MESSAGES, ARRIVE_MS);
    // The other member joins late, so that it has received nothing before.
    const other = await broker.client({ keepsSession: true });
    await other.subscribeAll([filter]);
    await first.breakOff();
    await other.untilQuiet(QUIET_MS, MESSAGES);
    const back = await broker.client({ clientId: first.clientId, keepsSession: true });
    await back.untilQuiet(QUIET_MS, MESSAGES);
    return compareDeliveries(first.received, other.received, back.received);
  },
  judge: judgeRedelivery,
});

export function compareDeliveries(
  first: readonly Received[],
  toOthers: readonly Received[],
  toItself: readonly Received[],
): Redelivery {
  const firstIds = new Map(first.map(({ payload, packetId }) => [payload, packetId]));
  // Some brokers send a member one message at a time: the others are no redelivery, and may arrive before it.
  const isAgain = ({ payload }: Received): boolean => firstIds.has(payload);
  const again = [toOthers, toItself].map((received) => received.filter(isAgain));
  const comeAgain = new Set(again.flat().map(({ payload }) => payload));
  return {
    unacknowledged: first.length,
    lost: first.filter(({ payload }) => !comeAgain.has(payload)).length,
    to_others: toOthers.length,
    to_itself: toItself.length,
    ordered: first.length < 2 ? null : again.every(isOrdered),
    dup: again.flat().every(({ dup }) => dup),
    // The packet ids of another member are its own: equal numbers would be chance.
    same_packet_ids:
      toOthers.length === 0 &&
      toItself.every(({ payload, packetId }) => !firstIds.has(payload) || firstIds.get(payload) === packetId),
  };
}

function isOrdered(received: readonly Received[]): boolean {
  return received.every(({ payload }, i) => i === 0 || Number(received[i - 1]?.payload) < Number(payload));
}

export function judgeRedelivery(found: Redelivery): Finding {
  const { unacknowledged, lost, to_others: others, to_itself: itself, ordered, dup, same_packet_ids: sameIds } = found;
  // They had not arrived before: the broker dropped them instead of keeping them.
  const dropped = MESSAGES - others - itself;
  const text = [
    others > 0 && itself > 0 ? `${itself} to itself, ${others} to others` : others > 0 ? 'to others' : 'to itself',
    ordered === null ? 'order not known' : ordered ? 'in order' : 'not in order',
    `DUP ${dup ? 1 : 0}`,
    sameIds ? 'same packet ids' : 'new packet ids',
    ...(dropped > 0 ? [`${dropped} never arrived: queue limited`] : []),
  ].join(', ');
  if (lost > 0) return wrong(`${lost} of ${unacknowledged} lost`, 'what a killed ingester had not stored is lost');
  const effects = [
    ...(dropped > 0 ? ['beyond the limit of a queue, messages are lost; a sweep repairs states: raise the limit'] : []),
    // Another lane may have processed later messages already.
    ...(ordered === false || others > 0
      ? ['states may be old for a moment after an ingester dies, until a verification']
      : []),
    ...(dup && sameIds ? [] : ['a repeated `offline` may emit a second pair of events']),
  ];
  return effects.length === 0 ? ok(text, 'an effect takes place once') : weaker(text, effects.join('; '));
}
