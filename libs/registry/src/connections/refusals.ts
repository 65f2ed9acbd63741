/**
 * Refused handshakes that are to be answered with a `handshake-error`, and those that were. A client has one to-do,
 * `refuse`, however many of its messages are refused: the newest refusal waits in a hash of the shard, written by the
 * fenced commit, until a second has passed since the last answer to this client.
 *
 * - Of messages with a readable id and of those without one, the newest waits; the second kind goes out once a minute.
 * - An id counts as answered when its answer was published. The last 8 ids of a client are remembered, for the 10,000
 *   clients of a shard that were answered last. So nothing that a client sends makes more than one entry for it.
 */
import { createHash } from 'node:crypto';
import { encodeAnswer } from '@app/protocol';
import type { LuaNamed, Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';
import { encodeToDo } from '../todos/to-do.js';

/** Shortest time between two answers to a client. */
export const REFUSAL_EVERY_MS = 1000;

export interface Refused {
  clientId: string;
  /** Id of the refused message, null if it had none that can be read. */
  inResponseTo: string | null;
  details: string;
  /** Id of the answer. */
  messageId: string;
}

/** A refusal whose time has come. */
export interface DueRefusal extends Refused {
  /** Its field in the hash, and what stands there. */
  field: string;
  text: string;
}

/** Field and value under which a refusal waits: a newer one of the same client and kind takes its place. */
export function encodeRefused({ clientId, inResponseTo, details, messageId }: Refused): [field: string, text: string] {
  const id = inResponseTo === null ? '' : createHash('sha256').update(inResponseTo).digest('base64url').slice(0, 16);
  const kind = inResponseTo === null ? REFUSED_WITHOUT_ID : REFUSED_WITH_ID;
  return [kind + clientId, `${id}\n${JSON.stringify({ inResponseTo, details, messageId })}`];
}

/** First parts of the fields of a client. */
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
   * The refusal of this client to answer now; undefined if there is none, or not yet: then the client's to-do has been
   * removed or put off. @throws StaleOwnerError
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
   * The refusal has been dealt with, and its to-do is removed, or put off if a newer refusal waits.
   * @param reached the answer was published, and not to nobody: its id is answered
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

export function encodeHandshakeError({ inResponseTo, details, messageId }: Refused): string {
  return encodeAnswer({ type: 'handshake-error', in_response_to: inResponseTo, payload: { details } }, messageId);
}

function argsOf(grant: Grant, clientId: string): RefusalArgs {
  return { fence: grant.fence, client: clientId, refuse_todo: encodeToDo({ do: 'refuse', client_id: clientId }) };
}
