import fc from 'fast-check';
import type { StoredMessage } from '@app/registry';
import { JsonText, toJson } from '../http/json-text.js';
import {
  AcceptedMessageBody,
  BatchItem,
  MessageBody,
  SendMessageBody,
  toAcceptedBody,
  toMessageBody,
} from './message.dto.js';

const ID = '017f22e2-79b0-7abc-8000-000000000000';

/** The members that are wrong, by their path. */
function wrongIn(body: unknown): string[] {
  const outcome = SendMessageBody.safeParse(body);
  return outcome.success ? [] : [...new Set(outcome.error.issues.map(({ path }) => path.map(String).join('.')))];
}

describe('SendMessageBody', () => {
  it('requires only a directive, and defaults to holding the message for an hour if the client is offline', () => {
    expect(SendMessageBody.parse({ directive: 'rhc:work' })).toEqual({
      directive: 'rhc:work',
      ttl_seconds: 3600,
      when_offline: 'hold',
    });
  });

  it('accepts all members together', () => {
    const body = { directive: 'a b', payload: { deep: [1, null] }, ttl_seconds: 1, when_offline: 'reject' };
    expect(SendMessageBody.parse(body)).toEqual(body);
  });

  it('accepts any JSON value as a payload, and distinguishes none from null', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (payload) => {
        expect(SendMessageBody.parse({ directive: 'a', payload }).payload).toBe(payload);
      }),
    );
    expect(SendMessageBody.parse({ directive: 'a' })).not.toHaveProperty('payload');
    expect(SendMessageBody.parse({ directive: 'a', payload: null })).toHaveProperty('payload', null);
  });

  it('accepts values at the limits', () => {
    expect(wrongIn({ directive: 'x'.repeat(256), ttl_seconds: 2_592_000 })).toEqual([]);
    expect(wrongIn({ directive: 'x', ttl_seconds: 1 })).toEqual([]);
  });

  it.each([
    ['no directive', {}, 'directive'],
    ['an empty directive', { directive: '' }, 'directive'],
    ['a blank directive', { directive: ' \t\n' }, 'directive'],
    ['a directive too long', { directive: 'x'.repeat(257) }, 'directive'],
    ['a directive that is no text', { directive: 7 }, 'directive'],
    ['no time to live', { directive: 'a', ttl_seconds: 0 }, 'ttl_seconds'],
    ['a time to live in the past', { directive: 'a', ttl_seconds: -1 }, 'ttl_seconds'],
    ['a time to live over thirty days', { directive: 'a', ttl_seconds: 2_592_001 }, 'ttl_seconds'],
    ['a time to live in parts of a second', { directive: 'a', ttl_seconds: 1.5 }, 'ttl_seconds'],
    ['a time to live as text', { directive: 'a', ttl_seconds: '60' }, 'ttl_seconds'],
    ['a time to live of null', { directive: 'a', ttl_seconds: null }, 'ttl_seconds'],
    ['another way to treat an offline client', { directive: 'a', when_offline: 'drop' }, 'when_offline'],
    ['a member it does not know', { directive: 'a', ttl: 60 }, ''],
    ['no object', 'rhc:work', ''],
    ['a list', [{ directive: 'a' }], ''],
    ['null', null, ''],
  ])('refuses a message with %s', (_, body, member) => {
    expect(wrongIn(body)).toEqual([member]);
  });

  it('names all errors at once', () => {
    expect(wrongIn({ directive: '', ttl_seconds: 0, when_offline: 1 }).sort()).toEqual([
      'directive',
      'ttl_seconds',
      'when_offline',
    ]);
  });

  it('refuses a lone surrogate, which would change on its way to the client or to Redis', () => {
    expect(wrongIn({ directive: 'a\ud800' })).toEqual(['directive']);
    expect(wrongIn({ directive: '\ud83d\ude00' })).toEqual([]);
    const item = { client_id: 'device', directive: 'a' };
    expect(BatchItem.safeParse({ ...item, idempotency_key: '\udc00' }).success).toBe(false);
    expect(BatchItem.safeParse({ ...item, idempotency_key: '\ud83d\ude00' }).success).toBe(true);
  });

  it('says that a blank directive must not be blank', () => {
    expect(SendMessageBody.safeParse({ directive: '  ' }).error?.issues[0]?.message).toBe('must not be blank');
  });
});

const stored: StoredMessage = {
  messageId: ID,
  clientId: 'host-1',
  directive: 'rhc:work',
  status: 'failed',
  createdAt: Date.parse('2024-05-06T07:00:00.001Z'),
  expiresAt: Date.parse('2024-05-06T08:00:00.001Z'),
  history: [
    { status: 'queued', at: Date.parse('2024-05-06T07:00:00.001Z') },
    { status: 'failed', at: Date.parse('2024-05-06T07:00:01Z'), details: 'no disk' },
  ],
  responseDeadline: undefined,
  progress: undefined,
  answer: undefined,
};

describe('toAcceptedBody', () => {
  it('shows an accepted message in the documented shape', () => {
    const body = toAcceptedBody({ ...stored, status: 'held' });
    expect(body).toEqual({
      message_id: ID,
      client_id: 'host-1',
      directive: 'rhc:work',
      status: 'held',
      created_at: '2024-05-06T07:00:00.001Z',
      expires_at: '2024-05-06T08:00:00.001Z',
    });
    expect(AcceptedMessageBody.parse(body)).toEqual(body);
  });
});

describe('toMessageBody', () => {
  it('shows a message with its whole history in the documented shape', () => {
    const body = toMessageBody(stored);
    expect(body).toEqual({
      message_id: ID,
      client_id: 'host-1',
      directive: 'rhc:work',
      status: 'failed',
      created_at: '2024-05-06T07:00:00.001Z',
      expires_at: '2024-05-06T08:00:00.001Z',
      status_history: [
        { status: 'queued', at: '2024-05-06T07:00:00.001Z', details: null },
        { status: 'failed', at: '2024-05-06T07:00:01.000Z', details: 'no disk' },
      ],
      response_deadline: null,
      progress: null,
      answer: null,
    });
    expect(MessageBody.parse(body)).toEqual(body);
  });

  it('shows deadline, progress and answer of a message that has them', () => {
    const at = Date.parse('2024-05-06T07:00:02Z');
    const answer = { messageId: 'answer-1', receivedAt: at, size: 7, late: false };
    const body = toMessageBody({
      ...stored,
      status: 'answered',
      responseDeadline: at,
      progress: { percent: 50, at },
      answer: { ...answer, omitted: undefined, payloadJson: '{"a":1.10}' },
    });
    const shown = { message_id: 'answer-1', received_at: '2024-05-06T07:00:02.000Z', late: false };
    expect(body).toMatchObject({
      response_deadline: '2024-05-06T07:00:02.000Z',
      progress: { percent: 50, details: null, at: '2024-05-06T07:00:02.000Z' },
    });
    expect(body.answer).toEqual({ ...shown, payload: new JsonText('{"a":1.10}') });
    expect(toJson(body)).toContain('"payload":{"a":1.10}');
    expect(MessageBody.parse(body)).toEqual(body);
    const omitted = toMessageBody({
      ...stored,
      answer: { ...answer, omitted: 'storage-full', payloadJson: undefined },
    });
    expect(omitted.answer).toEqual({ ...shown, payload: null, omitted: 'storage-full', size: 7 });
    expect(MessageBody.parse(omitted)).toEqual(omitted);
  });
});
