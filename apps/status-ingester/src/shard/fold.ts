/** Folds a batch of one shard's mailbox into what one commit writes. Pure but for the ids it is given. */
import {
  encodeToDo,
  TODO_GRACE_MS,
  type BatchChanges,
  type CommandMessage,
  type CommandOutcome,
  type Connection,
  type ConnectionChange,
  type DatedEvent,
  type DeadLetter,
  type DueToDo,
  type MailboxMessage,
  type Refused,
  type ToDo,
} from '@app/registry';
import { isAfter } from '@app/sharding';
import { LastLiveEntries, type ReadonlyLastLiveEntries } from './last-live-entries.js';
import type { VerificationRequest, VerificationResult, Verification } from './verification.js';
import { waitingReplies } from '../rules/handshake-replies.js';
import type { Correction } from '../rules/effect.js';
import { RefusalLimits } from './refusal-limits.js';
import { transition, type Rules, type Transition } from '../rules/transition.js';

export interface Folded extends BatchChanges {
  /** Reasons of all dead letters, those included that are only counted. */
  reasons: string[];
  /** How many refusal events and dead letters are only counted, since their client has used up its share of them. */
  unkept: { events: number; deadLetters: number };
  /** To-dos to be done right after the commit. */
  immediate: DueToDo[];
  /** Clients to be verified. */
  verificationRequests: VerificationRequest[];
  /** What became of verifications' results. */
  verificationResults: VerificationResult[];
  /** What applied results changed, for the sweeps that want to know. */
  swept: { sweep: string; changes: Correction[] }[];
  /** For each client, the last entry that makes an earlier answer of the broker too old. */
  lastLive: Map<string, string>;
  replies: { reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome }[];
}

export function fold(
  messages: readonly MailboxMessage[],
  stored: ReadonlyMap<string, Connection | undefined>,
  rules: Rules,
  mintId: () => string,
  verifying: ReadonlyMap<string, Readonly<Verification>> = new Map(),
  marks: ReadonlyLastLiveEntries = new LastLiveEntries('0-0'),
  limits: RefusalLimits = new RefusalLimits(),
  waitingBefore = 0,
): Folded {
  const connections = new Map<string, ConnectionChange>();
  const events: DatedEvent[] = [];
  const deadLetters: (DeadLetter & { at: number })[] = [];
  const todos = new Map<string, DueToDo | { undone: ToDo }>();
  const refused = new Map<string, Refused>();
  const reasons: string[] = [];
  const unkept = { events: 0, deadLetters: 0 };
  const cameOnline = new Map<string, number>();
  const accountsKnown = new Map<string, number>();
  let waitingBytes = waitingBefore;
  const immediate = new Map<string, DueToDo>();
  const replies: Folded['replies'] = [];
  const verificationRequests: VerificationRequest[] = [];
  const verificationResults: VerificationResult[] = [];
  const lastLive = new Map<string, string>();
  const sweeps = new Map<string, Correction[]>();
  const requestVerification = (clientId: string, at: number, about: Omit<VerificationRequest, 'clientId'>): void => {
    if (about.isVolatile !== true) {
      const todo: ToDo = { do: 'verify', client_id: clientId };
      todos.set(encodeToDo(todo), { todo, due: at + TODO_GRACE_MS });
    }
    verificationRequests.push({ clientId, ...about });
  };

  const write = (todo: ToDo, at: number, inMs?: number): void => {
    const written = { todo, due: at + (inMs ?? TODO_GRACE_MS) };
    const text = encodeToDo(todo);
    todos.set(text, written);
    if (inMs === undefined) immediate.set(text, written);
  };
  const undo = (todo: ToDo): void => {
    const text = encodeToDo(todo);
    todos.set(text, { undone: todo });
    immediate.delete(text);
  };

  for (const message of messages) {
    const { clientId, at } = message;
    if (message.kind === 'verified') {
      const verdict = judge(message, verifying.get(clientId), marks, lastLive);
      if (verdict === 'verify-again') {
        requestVerification(clientId, at, { reason: 'sweep', ...(message.sweep && { sweep: message.sweep }) });
        continue;
      }
      if (verdict !== 'apply') {
        verificationResults.push({ clientId, attempt: message.attempt, outcome: verdict });
        continue;
      }
    } else if (message.kind === 'packet' && rules.statusTopics.includes(message.topic))
      lastLive.set(clientId, message.id);
    const change = connections.get(clientId);
    const current = change === undefined ? stored.get(clientId) : change.after;
    const { connection, effects } = attempt(current, message, rules, waitingBytes);
    if (connection === undefined && current !== undefined) waitingReplies(current).forEach(undo);
    waitingBytes += (connection?.account_asked?.bytes ?? 0) - (current?.account_asked?.bytes ?? 0);
    if (connection !== current) {
      connections.set(clientId, { before: change === undefined ? current : change.before, after: connection });
    }
    for (const effect of effects) {
      switch (effect.kind) {
        case 'event':
          if (effect.event.type === 'connection.refused' && !limits.takeEvent(clientId, at)) unkept.events++;
          else {
            const account = effect.account === undefined ? ((connection ?? current)?.account ?? null) : effect.account;
            events.push({ ...effect.event, at: effect.at ?? at, account });
          }
          break;
        case 'dead-letter':
          reasons.push(effect.reason);
          if (limits.takeDeadLetter(clientId, at)) deadLetters.push({ ...effect.letter, at });
          else unkept.deadLetters++;
          break;
        case 'refuse': {
          const { inResponseTo, details } = effect;
          // Of each kind the newest waits, and so does one to-do for both.
          refused.set(`${inResponseTo === null} ${clientId}`, { clientId, inResponseTo, details, messageId: mintId() });
          write({ do: 'refuse', client_id: clientId }, at);
          break;
        }
        case 'to-do':
          write(effect.todo, at, effect.inMs);
          break;
        case 'undo':
          undo(effect.todo);
          break;
        case 'verify': {
          const { reason, reply, sweep } = effect;
          // Who asks wants to know what is retained from now on.
          lastLive.set(clientId, message.id);
          // A caller can name any number of clients that are not known: no to-do stands for them.
          const isVolatile = reason === 'request' && connection === undefined;
          requestVerification(clientId, at, {
            reason,
            ...(reply && { reply }),
            ...(sweep && { sweep }),
            ...(isVolatile && { isVolatile }),
          });
          break;
        }
        case 'verified':
          if (message.kind !== 'verified') break;
          if (message.sweep !== undefined) {
            const changes = sweeps.get(message.sweep);
            if (changes === undefined) sweeps.set(message.sweep, [effect.change]);
            else changes.push(effect.change);
          }
          if (message.noted !== undefined) break;
          verificationResults.push({
            clientId,
            attempt: message.attempt,
            outcome: effect.change === 'none' ? 'agreed' : 'corrected',
            answer: effect.answer,
          });
          break;
        case 'came-online':
          cameOnline.set(clientId, at);
          break;
        case 'account-known':
          accountsKnown.set(clientId, at);
          break;
        case 'reply':
          replies.push({ reply: effect.reply, outcome: effect.outcome });
          break;
      }
    }
  }
  const decided = [...todos.values()];
  return {
    connections,
    events,
    deadLetters,
    reasons,
    unkept,
    refused: [...refused.values()],
    todos: decided.filter((one) => 'todo' in one),
    undone: decided.filter((one) => 'undone' in one).map((one) => one.undone),
    cameOnline: Array.from(cameOnline, ([clientId, at]) => ({ clientId, due: at + TODO_GRACE_MS })),
    accountsKnown: Array.from(accountsKnown, ([clientId, known]) => ({ clientId, at: known })),
    waitingBytes: waitingBytes === waitingBefore ? undefined : waitingBytes,
    immediate: [...immediate.values()],
    verificationRequests,
    verificationResults,
    lastLive,
    swept: Array.from(sweeps, ([sweep, changes]) => ({ sweep, changes })),
    replies,
  };
}

/**
 * Decides what to do with a reading of retained messages (V1). `verify-again`: what a sweep read may be too old, so the
 * client is verified on its own.
 */
function judge(
  message: Extract<MailboxMessage, { kind: 'verified' }>,
  verification: Readonly<Verification> | undefined,
  marks: ReadonlyLastLiveEntries,
  lastLive: ReadonlyMap<string, string>,
): 'apply' | 'verify-again' | 'superseded-by-live' | 'stale-attempt' {
  const { clientId, noted } = message;
  const now = lastLive.get(clientId);
  const isCurrent = (than: string): boolean =>
    !(now !== undefined && isAfter(now, than)) && marks.sinceNoted(clientId, than) === 'nothing';
  if (noted !== undefined) return isCurrent(noted) ? 'apply' : 'verify-again';
  if (verification?.attempt !== message.attempt) return 'stale-attempt';
  return isCurrent(verification.noted) ? 'apply' : 'superseded-by-live';
}

/** A fault of ours in one message must not stop the shard: the message becomes a dead letter, and the rest goes on. */
function attempt(
  current: Connection | undefined,
  message: MailboxMessage,
  rules: Rules,
  waitingBytes: number,
): Transition {
  try {
    const { connection, effects } = transition(current, message, rules, waitingBytes);
    return { connection, effects };
  } catch (error) {
    const letter = poison(message, error);
    return {
      connection: current,
      effects: [
        { kind: 'dead-letter', letter, reason: 'internal-error' },
        ...(message.kind === 'packet' ? [{ kind: 'verify', reason: 'dropped' } as const] : []),
      ],
    };
  }
}

function poison(message: MailboxMessage, error: unknown): DeadLetter {
  const packet = message.kind === 'packet' ? message : undefined;
  return {
    client_id: message.clientId,
    topic: packet?.topic ?? '',
    reason: 'internal-error',
    details: `could not be applied: ${error instanceof Error ? error.message : String(error)}`,
    sample: (packet?.body ?? JSON.stringify(message)).slice(0, 1024),
  };
}
