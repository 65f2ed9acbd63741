/**
 * Whether a shared subscription gets retained messages with their retain flag, and empty ones too. Nothing is concluded from
 * silence before a plain subscription has received a message: without the right to read, nothing ever comes.
 */
import { REFUSED } from '../mqtt-connection.js';
import { CheckSilentError, type CheckConnection } from './check-connection.js';
import type { CheckTopics } from './check-topics.js';
import type { Essential } from './essentials.js';

/** How long messages may take once a message of the plain subscription has come. */
const DELIVERY_MS = 2000;
/** How long the first message may take. */
const FIRST_MS = 4000;
const QOS_0 = 0;
const WILDCARDS_NOT_SUPPORTED = 0xa2;

/** Last levels of the topics that are tried: client ids may be host names. */
const LEVELS = ['level', 'level.with.dots'] as const;
export type Level = (typeof LEVELS)[number];

/** The retain flags of a retained message and of the empty one that removes it; null: it did not arrive. */
export interface RetainFlags {
  set: boolean | null;
  cleared: boolean | null;
}

export type SharedRetain = RetainFlags & { lacks: Essential | null };

/** @returns the essential that is missing @throws CheckInterruptedError, CheckNotAllowedError */
export async function checkSharedRetain(
  connection: CheckConnection,
  topics: CheckTopics,
): Promise<Essential | undefined> {
  const found = await measureSharedRetain(connection, topics, LEVELS);
  return found.map(({ lacks }) => lacks).find((lacks) => lacks !== null) ?? undefined;
}

/** @returns what was found for each level @throws CheckInterruptedError, CheckNotAllowedError */
export async function measureSharedRetain(
  connection: CheckConnection,
  topics: CheckTopics,
  levels: readonly Level[],
): Promise<SharedRetain[]> {
  const plain = topics.at('plain');
  const refused = await subscribe(connection, plain, topics.shared('shared/+'));
  if (refused !== undefined) return levels.map(() => ({ set: null, cleared: null, lacks: refused }));
  const topicOf = (level: Level): string => topics.at(`shared/${level}`);
  await connection.publishAll([
    ...levels.flatMap((level) => ['set', ''].map((payload) => ({ topic: topicOf(level), payload, retain: true }))),
    { topic: plain, payload: 'plain' },
  ]);
  const flagOf = (topic: string, payload: string): boolean | null =>
    connection.received.find((one) => one.topic === topic && one.payload === payload)?.retain ?? null;
  if (!(await connection.until(() => flagOf(plain, 'plain') !== null, FIRST_MS)))
    throw new CheckSilentError(plain, FIRST_MS);
  const flagsOf = (level: Level): RetainFlags => {
    const topic = topicOf(level);
    return { set: flagOf(topic, 'set'), cleared: flagOf(topic, '') };
  };
  const hasCome = ({ set, cleared }: RetainFlags): boolean => set !== null && cleared !== null;
  await connection.until(() => levels.map(flagsOf).every(hasCome), DELIVERY_MS);
  return levels.map((level) => ({ ...flagsOf(level), lacks: lackOf(flagsOf(level), level) }));
}

/** @returns what is missing if a subscription is refused */
async function subscribe(connection: CheckConnection, plain: string, shared: string): Promise<Essential | undefined> {
  const [plainCode, code] = await Promise.all([connection.subscribe(plain), connection.subscribe(shared)]);
  if (plainCode === QOS_0 || code === QOS_0) return 'qos-1';
  if (code === WILDCARDS_NOT_SUPPORTED) return 'wildcard-subscriptions';
  return code >= REFUSED ? 'shared-subscriptions' : undefined;
}

/** What a broker lacks on which a shared subscription has received a topic with this last level so. */
export function lackOf({ set, cleared }: RetainFlags, level: Level): Essential | null {
  if (set === false || cleared === false) return 'retain-as-published';
  if (set === true && cleared === true) return null;
  if (level !== 'level') return 'levels-with-dots';
  return set === null ? 'shared-subscriptions' : 'retain-as-published';
}
