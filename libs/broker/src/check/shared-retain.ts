/**
 * Whether a shared subscription gets retained messages with their retain flag, and empty ones too. Nothing is concluded from
 * silence before a plain subscription has received a message: without the right to read, nothing ever comes.
 */
import { gate } from './gate.js';
import { CheckNotAllowedError, type CheckConnection, type CheckMessage, type CheckTopics } from './check-connection.js';
import type { Essential } from './essentials.js';

/** How long messages may take once a message of the plain subscription has come. */
const DELIVERY_MS = 2000;
/** How long the first message may take. */
const FIRST_MS = 4000;
const QOS_0 = 0;
const REFUSED = 0x80;
const WILDCARDS_NOT_SUPPORTED = 0xa2;

const PLAIN_LEVEL = 'level';
const DOTTED_LEVEL = 'level.with.dots';

/** @returns the essential that is missing @throws CheckInterruptedError, CheckNotAllowedError */
export async function checkSharedRetain(
  connection: CheckConnection,
  topics: CheckTopics,
): Promise<Essential | undefined> {
  const plain = topics.at('plain');
  const [plainCode, reasonCode] = await Promise.all([
    connection.subscribe(plain),
    connection.subscribe(topics.shared('shared/+')),
  ]);
  if (plainCode === QOS_0 || reasonCode === QOS_0) return 'qos-1';
  if (reasonCode === WILDCARDS_NOT_SUPPORTED) return 'wildcard-subscriptions';
  if (reasonCode >= REFUSED) return 'shared-subscriptions';

  const received: CheckMessage[] = [];
  const plainCame = gate();
  const allCame = gate();
  const stop = connection.onMessage((message) => {
    if (message.topic === plain) plainCame.open();
    else if (received.push(message) >= 4) allCame.open();
  });
  try {
    await connection.publishAll([
      ...[PLAIN_LEVEL, DOTTED_LEVEL].flatMap((level) =>
        ['set', ''].map((payload) => ({ topic: topics.at(`shared/${level}`), payload, retain: true })),
      ),
      { topic: plain, payload: 'plain', retain: false },
    ]);
    if (!(await connection.endsInTime(FIRST_MS, plainCame.passed))) throw new CheckNotAllowedError(plain);
    await connection.endsInTime(DELIVERY_MS, allCame.passed);
  } finally {
    stop();
  }
  return missingOf(received, topics);
}

/** What is missing by the messages that the shared subscription has received. */
export function missingOf(received: readonly CheckMessage[], topics: Pick<CheckTopics, 'at'>): Essential | undefined {
  if (received.length === 0) return 'shared-subscriptions';
  if (received.some(({ retain }) => !retain)) return 'retain-as-published';
  const has = (level: string, isEmpty: boolean): boolean =>
    received.some((one) => one.topic === topics.at(`shared/${level}`) && one.isEmpty === isEmpty);
  if (!has(PLAIN_LEVEL, false)) return 'shared-subscriptions';
  if (!has(PLAIN_LEVEL, true)) return 'retain-as-published';
  return has(DOTTED_LEVEL, false) && has(DOTTED_LEVEL, true) ? undefined : 'levels-with-dots';
}
