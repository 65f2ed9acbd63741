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
import { transition, type Rules, type Transition } from './transition.js';

export interface Folded extends BatchChanges {
  /** To-dos to be done right after the commit. */
  immediate: ToDo[];
  replies: { reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome }[];
}

export function fold(
  messages: readonly MailboxMessage[],
  stored: ReadonlyMap<string, Connection | undefined>,
  rules: Rules,
  mintId: () => string,
): Folded {
  const connections = new Map<string, ConnectionChange>();
  const events: (RegistryEvent & { at: number })[] = [];
  const deadLetters: (DeadLetter & { at: number })[] = [];
  const todos = new Map<string, { todo: ToDo; due: number } | { undone: ToDo }>();
  const arrived = new Map<string, number>();
  const immediate: ToDo[] = [];
  const replies: Folded['replies'] = [];

  for (const message of messages) {
    const { clientId, at } = message;
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
    replies,
  };
}

/** A fault of ours in one message must not stop the shard: it is set aside, and the rest goes on. */
function attempt(current: Connection | undefined, message: MailboxMessage, rules: Rules): Transition {
  try {
    const { connection, effects } = transition(current, message, rules);
    return { connection, effects };
  } catch (error) {
    const letter = poison(message, error);
    return { connection: current, effects: [{ kind: 'dead-letter', letter, reason: 'internal-error' }] };
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
