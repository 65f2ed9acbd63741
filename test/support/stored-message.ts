/** The record of a message, taken apart and changed by hand. */
import type { Redis } from '@app/platform';

const FIRST = [
  'form',
  'status',
  'attempts',
  'no_subscribers',
  'created',
  'ttl',
  'kept',
  'bytes',
  'finished_bytes',
  'has_payload_key',
];
const LINES = ['payer', 'client', 'account', 'idempotency', 'directive', 'request', 'history'];

const STORED = ['queued', 'in_flight', 'sent', 'failed', 'expired', 'cancelled'];

export type StoredMessageParts = Record<string, string>;

export async function storedMessage(redis: Redis, key: string): Promise<StoredMessageParts> {
  const text = await redis.get(key);
  if (text === null) throw new Error(`${key} is not stored`);
  const [first = '', ...lines] = text.split('\n');
  const parts: StoredMessageParts = {};
  for (const [i, value] of first.split(' ').entries()) parts[FIRST[i] ?? ''] = value;
  for (const [i, name] of LINES.entries()) parts[name] = lines[i] ?? '';
  const rest = lines.slice(LINES.length);
  if (parts['form'] === '2') parts['answer_line'] = rest.shift() ?? '';
  parts['payload'] = rest.join('\n');
  return parts;
}

export async function changeStoredMessage(redis: Redis, key: string, changes: StoredMessageParts): Promise<void> {
  await redis.set(key, textOf({ ...(await storedMessage(redis, key)), ...changes }));
}

/** Stores a message that no command has accepted. */
export async function storeMessage(redis: Redis, key: string, parts: StoredMessageParts): Promise<void> {
  const numbers = { attempts: '0', no_subscribers: '0', ttl: '600000', kept: '60000', bytes: '0', finished_bytes: '0' };
  const created = `${Date.now()}`;
  await redis.set(
    key,
    textOf({ form: '1', status: 'queued', created, ...numbers, has_payload_key: '0', history: 'q0', ...parts }),
  );
}

function textOf(parts: StoredMessageParts): string {
  const texts = (names: readonly string[]): string[] => names.map((name) => parts[name] ?? '');
  const answerLine = parts['form'] === '2' ? texts(['answer_line']) : [];
  return [texts(FIRST).join(' '), ...texts(LINES), ...answerLine, parts['payload'] ?? ''].join('\n');
}

/** Stores a message as 0.1.0 did: a hash, with the time of each change. */
export async function storeFormerMessage(redis: Redis, key: string, more: StoredMessageParts = {}): Promise<void> {
  const parts = await storedMessage(redis, key);
  const [created, ttl] = [Number(parts['created']), Number(parts['ttl'])];
  const changes = (parts['history'] ?? '').split('\t').map((change) => {
    const [, letter = '', after, details = ''] = /^(.)(-?\d+)(.*)$/s.exec(change) ?? [];
    const status = STORED.find((one) => one.startsWith(letter));
    return `${status} ${created + Number(after)}${details}`;
  });
  const hash: StoredMessageParts = {
    client_id: parts['client'] ?? '',
    directive: parts['directive'] ?? '',
    payload: parts['payload'] ?? '',
    status: parts['status'] ?? '',
    created_at: `${created}`,
    expires_at: `${created + ttl}`,
    request_id: parts['request'] ?? '',
    keep: parts['kept'] ?? '',
    history: changes.join('\n'),
    ...(parts['account'] !== '' && { account: parts['account'] }),
    ...(parts['attempts'] !== '0' && { attempts: parts['attempts'] }),
    ...more,
  };
  await redis.del(key);
  await redis.hset(key, hash);
}
