/**
 * Answers refused handshakes with `handshake-error`, and remembers which message ids were answered. A client has one
 * to-do, `refuse`, however many of its messages are refused: the fenced commit stores the newest refusal in a hash of the
 * shard, and it waits there until a second has passed since the client's last answer.
 *
 * - Two refusals of a client can wait: the newest one with a readable message id, and the newest one without. An answer
 *   without an id is sent at most once a minute.
 * - An id counts as answered when the answer was published. The last 8 answered ids are remembered for each of the 10,000
 *   clients of a shard that were answered last, so a client cannot make the records grow.
 */
import { createHash } from 'node:crypto';
import { encodeReply } from '@app/protocol';
import type { LuaNamed, Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';
import { encodeToDo } from '../todos/to-do.js';

/** Minimum time between two answers to a client. */
export const REFUSAL_EVERY_MS = 1000;

export interface Refused {
  clientId: string;
  /** Id of the refused message; null if it has no readable id. */
  inResponseTo: string | null;
  details: string;
  /** The reason of the dead letter; undefined if 0.1.0 has refused the message. */
  reason?: string | undefined;
  /** `retry_after` of the answer. */
  retryAfter?: string | undefined;
  /** Message id of the answer. */
  messageId: string;
}

/** A refusal that may be answered now. */
export interface DueRefusal extends Refused {
  /** Field and value of the refusal in the hash. */
  field: string;
  text: string;
}

/** Field and value of a waiting refusal. A newer refusal of the same client and kind has the same field and replaces it. */
export function encodeRefused({ clientId, ...refused }: Refused): [field: string, text: string] {
  const { inResponseTo } = refused;
  const id = inResponseTo === null ? '' : createHash('sha256').update(inResponseTo).digest('base64url').slice(0, 16);
  const kind = inResponseTo === null ? REFUSED_WITHOUT_ID : REFUSED_WITH_ID;
  return [kind + clientId, `${id}\n${JSON.stringify(refused)}`];
}

/** Prefixes of the fields of a client. */
export const REFUSED_WITH_ID = 'id/';
export const REFUSED_WITHOUT_ID = 'no-id/';

interface RefusalKeys extends LuaNamed {
  owner: string;
  waiting: string;
  answered: string;
  recent: string;
  todo: string;
}
interface RefusalArgs extends LuaNamed {
  fence: string;
  client: string;
  refuse_todo: string;
}

const nextRefusal = commands.load<RefusalKeys, RefusalArgs, -1 | 0 | [field: string, text: string]>('next-refusal');

const completeRefusal = commands.load<
  RefusalKeys,
  RefusalArgs & { field: string; text: string; reached: 0 | 1 },
  -1 | 0
>('complete-refusal');

export class Refusals {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /**
   * The refusal of this client that may be answered now. If there is none yet, the script reschedules the client's to-do
   * or removes it, and the result is undefined.
   * @throws StaleOwnerError
   */
  async next(grant: Grant, clientId: string): Promise<DueRefusal | undefined> {
    const reply = await nextRefusal.run(this.redis, this.keysOf(grant), argsOf(grant, clientId));
    if (reply === -1) throw new StaleOwnerError(grant);
    if (reply === 0) return undefined;
    const [field, text] = reply;
    const refused = JSON.parse(text.slice(text.indexOf('\n') + 1)) as Omit<Refused, 'clientId'>;
    return { clientId, ...refused, field, text };
  }

  /**
   * Removes a refusal that was answered. Removes the client's to-do as well, or reschedules it if a newer refusal waits.
   * @param reached whether the answer was published to a subscriber, so that the id counts as answered
   * @throws StaleOwnerError
   */
  async replied(grant: Grant, { clientId, field, text }: DueRefusal, reached: boolean): Promise<void> {
    const args = { ...argsOf(grant, clientId), field, text, reached: reached ? (1 as const) : (0 as const) };
    const reply = await completeRefusal.run(this.redis, this.keysOf(grant), args);
    if (reply === -1) throw new StaleOwnerError(grant);
  }

  private keysOf(grant: Grant): RefusalKeys {
    const { keys } = this;
    const [waiting, answered, recent] = keys.refusals(grant.index);
    return { owner: keys.owner(grant), waiting, answered, recent, todo: keys.todo(grant.index) };
  }
}

export function encodeHandshakeError({ inResponseTo, details, reason, retryAfter, messageId }: Refused): string {
  const payload = { details, reason, retry_after: retryAfter };
  return encodeReply({ type: 'handshake-error', in_response_to: inResponseTo, payload }, messageId);
}

function argsOf(grant: Grant, clientId: string): RefusalArgs {
  return { fence: grant.fence, client: clientId, refuse_todo: encodeToDo({ do: 'refuse', client_id: clientId }) };
}
