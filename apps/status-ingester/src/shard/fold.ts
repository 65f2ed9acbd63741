/** Folds a batch of one shard's mailbox into what one commit writes. Pure but for the ids it is given. */
import {
  encodeToDo,
  TODO_GRACE_MS,
  type BatchChanges,
  type CommandMessage,
  type CommandOutcome,
  type Connection,
  type ConnectionChange,
  type DeadLetter,
  type MailboxMessage,
  type RegistryEvent,
  type ToDo,
} from '@app/registry';
import { isBehind } from '@app/sharding';
import type { Doubt, Settled, Verification } from '../agreement/verifier.js';
import { transition, type Rules, type Transition } from './transition.js';

export interface Folded extends BatchChanges {
  /** To-dos to be done right after the commit. */
  immediate: ToDo[];
  /** Clients to be verified. */
  doubts: Doubt[];
  /** What became of verifications' results. */
  settled: Settled[];
  /** For clients that are being verified, the last entry that makes an earlier answer of the broker too old. */
  overtakers: Map<string, string>;
  replies: { reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome }[];
}

export function fold(
  messages: readonly MailboxMessage[],
  stored: ReadonlyMap<string, Connection | undefined>,
  rules: Rules,
  mintId: () => string,
  verifying: ReadonlyMap<string, Readonly<Verification>> = new Map(),
): Folded {
  const connections = new Map<string, ConnectionChange>();
  const events: (RegistryEvent & { at: number })[] = [];
  const deadLetters: (DeadLetter & { at: number })[] = [];
  const todos = new Map<string, { todo: ToDo; due: number } | { undone: ToDo }>();
  const arrived = new Map<string, number>();
  const immediate: ToDo[] = [];
  const replies: Folded['replies'] = [];
  const doubts: Doubt[] = [];
  const settled: Settled[] = [];
  const overtakers = new Map<string, string>();

  for (const message of messages) {
    const { clientId, at } = message;
    if (message.kind === 'verified') {
      const { attempt } = message;
      const verification = verifying.get(clientId);
      const overtakenBy = overtakers.get(clientId) ?? verification?.overtakenBy;
      if (verification?.attempt !== attempt) {
        settled.push({ clientId, attempt, outcome: 'unasked' });
        continue;
      }
      if (overtakenBy !== undefined && isBehind(overtakenBy, verification.noted)) {
        settled.push({ clientId, attempt, outcome: 'overtaken' });
        continue;
      }
    } else if (verifying.has(clientId) && overtakes(message, rules)) overtakers.set(clientId, message.id);
    const change = connections.get(clientId);
    const current = change === undefined ? stored.get(clientId) : change.after;
    const { connection, effects } = attempt(current, message, rules);
    if (connection !== current) {
      connections.set(clientId, { before: change === undefined ? current : change.before, after: connection });
    }
    for (const effect of effects) {
      switch (effect.kind) {
        case 'event':
          events.push({ ...effect.event, at });
          break;
        case 'dead-letter':
          deadLetters.push({ ...effect.letter, at });
          break;
        case 'to-do': {
          const todo = effect.todo.do === 'answer' ? { ...effect.todo, message_id: mintId() } : effect.todo;
          todos.set(encodeToDo(todo), { todo, due: at + (effect.inMs ?? TODO_GRACE_MS) });
          if (effect.inMs === undefined) immediate.push(todo);
          break;
        }
        case 'undo':
          todos.set(encodeToDo(effect.todo), { undone: effect.todo });
          break;
        case 'doubt': {
          const { reason, reply } = effect;
          const todo: ToDo = { do: 'verify', client_id: clientId };
          todos.set(encodeToDo(todo), { todo, due: at + TODO_GRACE_MS });
          doubts.push({ clientId, reason, ...(reply && { reply }) });
          break;
        }
        case 'verified': {
          const attempt = message.kind === 'verified' ? message.attempt : '';
          const outcome = effect.changed ? 'corrected' : 'agreed';
          settled.push({ clientId, attempt, outcome, answer: effect.answer });
          break;
        }
        case 'arrived':
          arrived.set(clientId, at);
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
    todos: decided.filter((one) => 'todo' in one),
    undone: decided.filter((one) => 'undone' in one).map((one) => one.undone),
    arrived: Array.from(arrived, ([clientId, at]) => ({ clientId, due: at + TODO_GRACE_MS })),
    immediate,
    doubts,
    settled,
    overtakers,
    replies,
  };
}

/** Whether an answer the broker gave before this message was stored may be older than it. */
function overtakes(message: Exclude<MailboxMessage, { kind: 'verified' }>, rules: Rules): boolean {
  return message.kind === 'packet' ? rules.statusTopics.includes(message.topic) : message.command.do === 'verify';
}

/** A fault of ours in one message must not stop the shard: it is set aside, and the rest goes on. */
function attempt(current: Connection | undefined, message: MailboxMessage, rules: Rules): Transition {
  try {
    const { connection, effects } = transition(current, message, rules);
    return { connection, effects };
  } catch (error) {
    const letter = poison(message, error);
    return {
      connection: current,
      effects: [
        { kind: 'dead-letter', letter, reason: 'internal-error' },
        ...(message.kind === 'packet' ? [{ kind: 'doubt', reason: 'dropped' } as const] : []),
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
