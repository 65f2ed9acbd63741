/** The problem for a message that was not accepted. */
import { Problem, unknownConnection } from '../http/problem.js';
import type { SendOutcome } from './message-sender.js';
import type { MessagesSettings } from './messages.settings.js';

type OutboxLimits = Pick<MessagesSettings, 'OUTBOX_LIMIT' | 'OUTBOX_BYTES' | 'SHARD_OUTBOX_LIMIT'>;

export function refusal(
  clientId: string,
  outcome: Exclude<SendOutcome, { kind: 'accepted' }>,
  { OUTBOX_LIMIT, OUTBOX_BYTES, SHARD_OUTBOX_LIMIT }: OutboxLimits,
): Problem {
  switch (outcome.kind) {
    case 'unknown':
      return unknownConnection(clientId);
    case 'building':
      return new Problem(
        'unavailable',
        `"${clientId}" is not known yet: the first sweep still reads from the broker which clients there are; nothing was stored`,
        { retryAfterSeconds: 5 },
      );
    case 'offline':
      return new Problem(
        'client-offline',
        `"${clientId}" is offline; send with when_offline "hold" to keep the message`,
      );
    case 'full':
      return new Problem(
        'outbox-full',
        `"${clientId}" has ${OUTBOX_LIMIT} unfinished messages or ${OUTBOX_BYTES} bytes of them; wait until some are sent or expire`,
        { retryAfterSeconds: 10 },
      );
    case 'shard-full':
      return new Problem(
        'shard-full',
        `the clients that share a shard with "${clientId}" have ${SHARD_OUTBOX_LIMIT} unfinished messages, ` +
          'or as many bytes of them as the shard may take; wait until some are sent or expire',
        { retryAfterSeconds: 10 },
      );
    case 'account-full':
      return new Problem(
        'account-full',
        'the unfinished messages of this account or key take as many bytes as they may, or half of those of the ' +
          `shard of "${clientId}"; wait until some are sent or expire`,
        { retryAfterSeconds: 10 },
      );
    case 'storage-full':
      return new Problem('storage-full', 'nothing was stored; new messages are taken again when Redis has room', {
        retryAfterSeconds: 10,
      });
    case 'mismatch':
      return new Problem(
        'idempotency-mismatch',
        'the first request with this Idempotency-Key was another one. To repeat it, send the same directive, payload, when_offline, ' +
          'ttl_seconds and response_timeout_seconds; a new key is for other work: with one, the same work may be done twice',
      );
    case 'unreachable':
      return new Problem(
        'unavailable',
        'Redis cannot be reached, or does not answer in time, and whether the message was stored is not known. ' +
          'Repeat the request with its Idempotency-Key; without one it may be sent twice',
        { retryAfterSeconds: 1 },
      );
  }
}
