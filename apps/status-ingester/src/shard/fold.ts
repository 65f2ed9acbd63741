/** Folds a batch of a shard's mailbox into what one commit writes. Pure, except for the message ids that it mints. */
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
  type MessageReport,
  type Refused,
  type ToDo,
} from '@app/registry';
import { isAfter } from '@app/sharding';
import type { Correction, Effect, Rules, Transition } from '../rules/effect.js';
import { waitingReplies } from '../rules/handshake-replies.js';
import { transition } from '../rules/transition.js';
import { messageOf } from './dead-letters.js';
import type { Verification, VerificationRequest, VerificationResult } from './ports.js';
import { RefusalLimits } from './refusal-limits.js';
import { LastLiveEntries, type ReadonlyLastLiveEntries } from './shard-memory.js';

export interface Folded extends BatchChanges {
  reports: MessageReport[];
  /** Reasons of all dead letters, also of those that are only counted. */
  reasons: string[];
  /** How many refusal events and dead letters are only counted, because their client has reached its limit. */
  dropped: { events: number; deadLetters: number };
  /** To-dos to run right after the commit. */
  immediate: DueToDo[];
  verificationRequests: VerificationRequest[];
  /** What became of the results of verifications in the batch. */
  verificationResults: VerificationResult[];
  /** What the applied readings of each sweep changed. */
  swept: { sweep: string; changes: Correction[] }[];
  /** For each client, the last live entry: an answer that the broker gave before it is too old. */
  lastLive: Map<string, string>;
  replies: { reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome }[];
}

export function fold(
  messages: readonly MailboxMessage[],
  stored: ReadonlyMap<string, Connection | undefined>,
  rules: Rules,
  mintId: () => string,
  verifying: ReadonlyMap<string, Readonly<Verification>> = new Map(),
  lastLiveBefore: ReadonlyLastLiveEntries = new LastLiveEntries('0-0'),
  limits: RefusalLimits = new RefusalLimits(),
  waitingBefore = 0,
): Folded {
  const connections = new Map<string, ConnectionChange>();
  const events: DatedEvent[] = [];
  const deadLetters: (DeadLetter & { at: number })[] = [];
  const todos = new Map<string, DueToDo | { withdrawn: ToDo }>();
  const refused = new Map<string, Refused>();
  const reports: MessageReport[] = [];
  /** By client, the number of answers. */
  const answers = new Map<string, number>();
  const reasons: string[] = [];
  const dropped = { events: 0, deadLetters: 0 };
  const cameOnline = new Set<string>();
  const accountsKnown = new Map<string, number>();
  let waitingBytes = waitingBefore;
  const immediate = new Map<string, DueToDo>();
  const replies: Folded['replies'] = [];
  const verificationRequests: VerificationRequest[] = [];
  const verificationResults: VerificationResult[] = [];
  const lastLive = new Map<string, string>();
  /** Clients that a caller in this batch wants verified. */
  const asked = new Set<string>();
  const sweeps = new Map<string, Correction[]>();
  const requestVerification = (clientId: string, at: number, about: Omit<VerificationRequest, 'clientId'>): void => {
    if (about.isVolatile !== true) {
      const todo: ToDo = { do: 'verify', client_id: clientId };
      todos.set(encodeToDo(todo), { todo, due: at + TODO_GRACE_MS });
    }
    verificationRequests.push({ clientId, ...about });
  };

  const verifyAgain = ({ clientId, at, sweep }: Extract<MailboxMessage, { kind: 'verified' }>): void =>
    requestVerification(clientId, at, { reason: 'sweep', ...(sweep && { sweep }) });

  const write = (todo: ToDo, at: number, inMs?: number): void => {
    const written = { todo, due: at + (inMs ?? TODO_GRACE_MS) };
    const text = encodeToDo(todo);
    todos.set(text, written);
    if (inMs === undefined) immediate.set(text, written);
  };
  const undo = (todo: ToDo): void => {
    const text = encodeToDo(todo);
    todos.set(text, { withdrawn: todo });
    immediate.delete(text);
  };

  for (const entry of messages) {
    const { clientId, at } = entry;
    const verification = verifying.get(clientId);
    const isOfAttempt = entry.kind === 'verified' && entry.noted === undefined && verification !== undefined;
    const message = isOfAttempt
      ? { ...entry, isConfirmed: verification.isConfirmed, provesAbsence: verification.provesAbsence }
      : entry;
    if (message.kind === 'verified') {
      const verdict = verdictOf(message, verification, asked.has(clientId), lastLiveBefore, lastLive);
      if (verdict === 'verify-again') {
        verifyAgain(message);
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
          if (effect.event.type === 'connection.refused' && !limits.takeEvent(clientId, at)) dropped.events++;
          else {
            const account = effect.account === undefined ? ((connection ?? current)?.account ?? null) : effect.account;
            events.push({ ...effect.event, at: effect.at ?? at, account });
          }
          break;
        case 'dead-letter':
          reasons.push(effect.reason);
          if (limits.takeDeadLetter(clientId, at)) deadLetters.push({ ...effect.letter, at });
          else dropped.deadLetters++;
          break;
        case 'refuse': {
          const { kind, ...refusal } = effect;
          // A client has one waiting refusal with an id and one without, each the newest, and one to-do for both.
          refused.set(`${refusal.inResponseTo === null} ${clientId}`, { clientId, ...refusal, messageId: mintId() });
          write({ do: kind, client_id: clientId }, at);
          break;
        }
        case 'answer': {
          const { answer } = effect;
          const before = answers.get(clientId) ?? 0;
          answers.set(clientId, before + 1);
          const mayEmit = before < limits.eventsLeft(clientId, at);
          reports.push({ kind: 'answer', clientId, at: effect.at ?? at, eventsBefore: events.length, answer, mayEmit });
          break;
        }
        case 'progress':
          reports.push({
            kind: 'progress',
            clientId,
            at: effect.at ?? at,
            eventsBefore: events.length,
            progress: effect.progress,
          });
          break;
        case 'note':
          reports.push({ kind: 'note', clientId, at: effect.at ?? at, eventsBefore: events.length, note: effect.note });
          break;
        case 'to-do':
          write(effect.todo, at, effect.inMs);
          break;
        case 'undo':
          undo(effect.todo);
          break;
        case 'verify': {
          const { reason, reply, sweep } = effect;
          if (reply !== undefined) asked.add(clientId);
          // A caller can name any number of unknown clients, so their requests get no to-do.
          const isVolatile = reason === 'request' && connection === undefined;
          requestVerification(clientId, at, {
            reason,
            ...(reply && { reply }),
            ...(sweep && { sweep }),
            ...(isVolatile && { isVolatile }),
          });
          break;
        }
        case 'unconfirmed':
          if (message.kind !== 'verified') break;
          if (message.noted !== undefined) verifyAgain(message);
          else verificationResults.push({ clientId, attempt: message.attempt, outcome: 'unconfirmed' });
          break;
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
            outcome: outcomeOf(effect),
            answer: effect.answer,
          });
          break;
        case 'came-online':
          cameOnline.add(clientId);
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
    reports,
    reasons,
    dropped,
    refused: [...refused.values()],
    todos: decided.filter((one) => 'todo' in one),
    withdrawn: decided.filter((one) => 'withdrawn' in one).map((one) => one.withdrawn),
    cameOnline: Array.from(cameOnline, (clientId) => ({ clientId })),
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
 * Decides what to do with a reading of retained messages (V1). `verify-again`: the reading of a sweep may be too old, so its
 * client is verified separately. A caller asks for what is retained from then on, so that an earlier attempt is too old for it.
 */
function verdictOf(
  message: Extract<MailboxMessage, { kind: 'verified' }>,
  verification: Readonly<Verification> | undefined,
  isAsked: boolean,
  lastLiveBefore: ReadonlyLastLiveEntries,
  lastLiveInBatch: ReadonlyMap<string, string>,
): 'apply' | 'verify-again' | 'superseded-by-live' | 'stale-attempt' {
  const { clientId, noted } = message;
  const inBatch = lastLiveInBatch.get(clientId);
  const isCurrent = (since: string): boolean =>
    !(inBatch !== undefined && isAfter(inBatch, since)) && lastLiveBefore.sinceNoted(clientId, since) === 'nothing';
  if (noted !== undefined) return isCurrent(noted) ? 'apply' : 'verify-again';
  if (isAsked || verification?.attempt !== message.attempt) return 'stale-attempt';
  return isCurrent(verification.noted) ? 'apply' : 'superseded-by-live';
}

function outcomeOf({ change, isUnproven }: Extract<Effect, { kind: 'verified' }>): VerificationResult['outcome'] {
  if (isUnproven === true) return 'unproven';
  return change === 'none' ? 'agreed' : 'corrected';
}

/** If our own code fails for a message, the message becomes a dead letter, and the others are applied. */
function attempt(
  current: Connection | undefined,
  message: MailboxMessage,
  rules: Rules,
  waitingBytes: number,
): Transition {
  try {
    return transition(current, message, rules, waitingBytes);
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
    details: `could not be applied: ${messageOf(error)}`,
    sample: (packet?.body ?? JSON.stringify(message)).slice(0, 1024),
  };
}
