/** Reads the records of messages, as any release has written them. */
import { RedisScriptError, type Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';
import {
  FORMER_FIELDS,
  hasStatus,
  parseFormerMessage,
  parseMessageRecord,
  type MessageAnswer,
  type MessageProgress,
  type MessageRecord,
} from './message-record.js';
import type { MessageStatus, StatusChange, StoredStatus } from '../message-status.js';

export interface StoredMessage {
  messageId: string;
  clientId: string;
  directive: string;
  status: MessageStatus;
  createdAt: number;
  expiresAt: number;
  history: StatusChange[];
  /** When a `sent` message becomes `unanswered`, if no answer came; undefined for never, or if it was not sent yet. */
  responseDeadline: number | undefined;
  progress: MessageProgress | undefined;
  /** `payloadJson`: its JSON text, undefined if it has none. */
  answer: (MessageAnswer & { payloadJson: string | undefined }) | undefined;
}

/** @returns undefined if the message is not stored, cannot be read, or belongs to another account than the given one */
export async function loadMessage(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  messageId: string,
  account?: string,
): Promise<MessageRecord | undefined> {
  const record = await loadRecord(redis, keys.message(shard, messageId));
  return account === undefined || record?.account === account ? record : undefined;
}

/**
 * The messages with these ids of one shard, in the same order, as `loadMessage` returns them, read with one command.
 * @param status undefined is returned for those that have another one
 */
export async function loadMessages(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  ids: readonly string[],
  { account, status }: { account?: string | undefined; status?: StoredStatus | undefined },
): Promise<(MessageRecord | undefined)[]> {
  if (ids.length === 0) return [];
  const texts = await redis.mget(ids.map((id) => keys.message(shard, id)));
  return Promise.all(
    texts.map(async (text, i) => {
      // A key that is no text is none for MGET: 0.1.0 has stored the message.
      if (text === null) return loadMessage(redis, keys, shard, ids[i] ?? '', account);
      if (status !== undefined && !hasStatus(text, status)) return undefined;
      const record = parseMessageRecord(text);
      return account === undefined || record?.account === account ? record : undefined;
    }),
  );
}

/** Reads the payload of the answer if it has a key of its own. */
export async function withAnswer(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  messageId: string,
  record: MessageRecord,
): Promise<StoredMessage> {
  const { clientId, directive, status, createdAt, expiresAt, history, responseDeadline, progress, answer } = record;
  return {
    ...{ messageId, clientId, directive, status, createdAt, expiresAt, history, responseDeadline, progress },
    answer: answer && {
      ...answer,
      payloadJson: record.hasAnswerKey
        ? ((await redis.get(keys.payload(shard, messageId))) ?? undefined)
        : record.answerPayloadJson,
    },
  };
}

/** The approximate size of a message in a listing, without the payload of its answer: its history can be long. */
export function sizeOf({ directive, history }: MessageRecord): number {
  return history.reduce((bytes, { details = '' }) => bytes + 32 + details.length, directive.length);
}

async function loadRecord(redis: Redis, key: string): Promise<MessageRecord | undefined> {
  try {
    const text = await redis.get(key);
    return text === null ? undefined : parseMessageRecord(text);
  } catch (error) {
    if (!(error instanceof RedisScriptError)) throw error;
  }
  // The key is not a text: 0.1.0 has stored the message.
  const former = await redis.hmget(key, ...FORMER_FIELDS).catch((error: unknown) => {
    // Nor is it a hash: the owner of the shard's outbound side dead-letters the message.
    if (error instanceof RedisScriptError) return [];
    throw error;
  });
  return parseFormerMessage(former);
}
