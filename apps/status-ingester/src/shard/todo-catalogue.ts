/**
 * The catalogue of to-dos: for each kind its handler, how many may run at once in this process, its time limit, and what
 * removes it. The schemas are beside `ToDo` in the registry. If a kind is missing here, the code does not compile, and the
 * ingester does not start.
 */
import type { Logger } from '@app/platform';
import { TopicTemplate, encodeReply } from '@app/protocol';
import type { PublishOptions, PublishOutcome, Publisher } from '@app/broker';
import {
  encodeCommand,
  encodeHandshakeError,
  isUnmatched,
  type Command,
  type ConnectionDirectory,
  type ConnectionToDo,
  type Outboxes,
  type Refusals,
  type ToDo,
} from '@app/registry';
import type { Grant, Mailboxes } from '@app/sharding';
import { noteAnswer } from './client-reports.js';
import type { Accounts, Verifications } from './ports.js';
import { RefusalLimits } from './refusal-limits.js';

/** `done`: finished, and counted. `passed-on`: its command or verification continues. `later`: it comes up again. */
export type ToDoOutcome = 'done' | 'passed-on' | 'later';

export interface ToDoRun {
  grant: Grant;
  /** Aborted at the time limit, when a commit has removed the to-do, or when this process stops. */
  signal: AbortSignal;
  /** Aborted when this process stops. */
  stopping: AbortSignal;
}

export interface ToDoKind<T extends ToDo> {
  /** Most to-dos of this kind that run at once. */
  most: number;
  timeoutMs: number;
  /** What a run does after the time limit: `end` by the signal, or `abandon` its place, since commands of Redis wait on. */
  atTimeout: 'end' | 'abandon';
  /** `runner`: the runner removes it when it is `done`. `itself`: the handler's script, command or verification removes it. */
  removedBy: 'runner' | 'itself';
  run(todo: T, run: ToDoRun): Promise<ToDoOutcome>;
}

export type ToDoKinds = { readonly [Kind in ToDo['do']]: ToDoKind<Extract<ToDo, { do: Kind }>> };

export interface ToDoDependencies {
  verifier: Pick<Verifications, 'request'>;
  /** Undefined if accounts are not in use. */
  accounts: Pick<Accounts, 'ask'> | undefined;
  refusals: Refusals;
  /** Tells the owner of the shard's outbound side that connections are ready, or activates it. */
  ringOutbound: (shard: number) => Promise<void>;
  outboxes: Outboxes;
  directory: ConnectionDirectory;
  mailboxes: Mailboxes;
  publisher: Publisher;
  outTopic: TopicTemplate;
  logger: Logger;
}

/** Limits of to-dos that publish, and of those that need Redis only: a broker that is away must not block the latter. */
export const PUBLISH_LIMITS = { most: 500, timeoutMs: 30_000, atTimeout: 'end' } as const;
const REDIS_LIMITS = { most: 500, timeoutMs: 10_000, atTimeout: 'abandon' } as const;

/** Longest time between reading that a client has left a topic, and removing its retained message there. */
export const CLEAR_WITHIN_MS = 500;

export function toDoKinds(dependencies: ToDoDependencies): ToDoKinds {
  const { verifier, accounts, refusals, ringOutbound, outboxes, directory, mailboxes, publisher, outTopic, logger } =
    dependencies;
  // Limits the events of message-errors that match no message.
  const limits = new RefusalLimits();
  const send = async ({ index }: Grant, { client_id: clientId }: ConnectionToDo, command: Command): Promise<boolean> =>
    mailboxes.send(index, encodeCommand({ clientId, command }));
  const logAnswer = ({ kind }: PublishOutcome, about: { client_id: string; message_id: string; type: string }): void =>
    logger.info({ ...about, outcome: kind }, 'client answered');

  return {
    wake: {
      ...REDIS_LIMITS,
      removedBy: 'runner',
      run: async (_todo, { grant }) => {
        await ringOutbound(grant.index);
        return 'done';
      },
    },
    reply: {
      ...PUBLISH_LIMITS,
      removedBy: 'runner',
      run: async ({ client_id, reply, message_id }, run) => {
        const text = encodeReply(reply, message_id);
        const outcome = await publisher.publish(outTopic.topicOf(client_id), text, publishLimits(run));
        if (mayTryAgain(outcome)) return 'later';
        logAnswer(outcome, { client_id, message_id, type: reply.type });
        return 'done';
      },
    },
    // The scripts of `Refusals` remove it, or postpone it until the client may be answered again.
    refuse: {
      ...PUBLISH_LIMITS,
      removedBy: 'itself',
      run: async ({ client_id }, run) => {
        const { grant } = run;
        const refusal = await refusals.next(grant, client_id);
        if (refusal === undefined) return 'passed-on';
        const text = encodeHandshakeError(refusal);
        const outcome = await publisher.publish(outTopic.topicOf(client_id), text, publishLimits(run));
        if (mayTryAgain(outcome)) return 'later';
        await refusals.replied(grant, refusal, outcome.kind === 'acknowledged');
        logAnswer(outcome, { client_id, message_id: refusal.messageId, type: 'handshake-error' });
        return 'done';
      },
    },
    // Of 0.1.0: commits apply what clients report.
    'message-error': {
      ...REDIS_LIMITS,
      removedBy: 'runner',
      run: async ({ client_id, in_response_to: message_id, details }, { grant }) => {
        const mayEmit = limits.takeEvent(client_id, Date.now());
        const outcome = await outboxes.failByClient(client_id, message_id, details, mayEmit);
        if (mayEmit && !isUnmatched(outcome)) limits.returnEvent(client_id);
        const answer = { type: 'message-error', inResponseTo: message_id, messageId: message_id, details } as const;
        noteAnswer({ clientId: client_id, answer, mayEmit }, outcome, grant.index, logger);
        return 'done';
      },
    },
    'clear-retained': {
      ...PUBLISH_LIMITS,
      removedBy: 'runner',
      run: async ({ client_id, status_topic }, run) => {
        const [connection] = await directory.load(run.grant.index, [client_id]);
        if (connection?.status_topic === status_topic) return 'done';
        const topic = new TopicTemplate(status_topic).topicOf(client_id);
        // Not later: the client may move back to the topic.
        const writeBy = performance.now() + CLEAR_WITHIN_MS;
        const outcome = await publisher.publish(topic, '', { retain: true, writeBy, ...publishLimits(run) });
        const isDone = outcome.kind === 'acknowledged' || outcome.kind === 'no-subscribers';
        return isDone || (outcome.kind === 'refused' && outcome.permanent) ? 'done' : 'later';
      },
    },
    // The result removes it when it is applied.
    verify: {
      ...REDIS_LIMITS,
      removedBy: 'itself',
      run: ({ client_id }, { grant }) => {
        verifier.request(grant, [{ clientId: client_id, reason: 'again' }]);
        return Promise.resolve('passed-on');
      },
    },
    confirm: {
      ...REDIS_LIMITS,
      removedBy: 'runner',
      run: async (todo, { grant }) =>
        (await send(grant, todo, { do: 'verify', reason: todo.after ?? 'goodbye' })) ? 'done' : 'later',
    },
    // The command removes it, or postpones it.
    forget: {
      ...REDIS_LIMITS,
      removedBy: 'itself',
      run: async (todo, { grant }) =>
        (await send(grant, todo, { do: 'forget', overdue: true })) ? 'passed-on' : 'later',
    },
    // If accounts are in use, the answer removes it, or postpones it.
    account: {
      ...REDIS_LIMITS,
      removedBy: 'runner',
      run: ({ client_id }, { grant }) => {
        accounts?.ask(grant, client_id);
        return Promise.resolve(accounts === undefined ? 'done' : 'passed-on');
      },
    },
    // The command removes it, or postpones it.
    'emit-waiting': {
      ...REDIS_LIMITS,
      removedBy: 'itself',
      run: async (todo, { grant }) => ((await send(grant, todo, { do: 'emit-waiting' })) ? 'passed-on' : 'later'),
    },
    'fail-moved': {
      ...REDIS_LIMITS,
      removedBy: 'runner',
      run: async ({ client_id }, { grant }) => {
        const failed = await outboxes.failMoved(grant.index, client_id);
        const about = { client_id, shard: grant.index, failed };
        if (failed > 0) logger.info(about, 'messages failed: their client belongs to another account now');
        return 'done';
      },
    },
    // The command removes it, or postpones it.
    flush: {
      ...REDIS_LIMITS,
      removedBy: 'itself',
      run: async (todo, { grant }) => ((await send(grant, todo, { do: 'flush' })) ? 'passed-on' : 'later'),
    },
  };
}

/** A publish that has been written keeps waiting for its outcome: another one could reach the client twice. */
function publishLimits({ signal, stopping }: ToDoRun): Pick<PublishOptions, 'signal' | 'untilWritten'> {
  return { signal: stopping, untilWritten: signal };
}

/** Whether the publish was given up, or the broker may accept it another time. */
function mayTryAgain(outcome: PublishOutcome): boolean {
  return outcome.kind === 'aborted' || (outcome.kind === 'refused' && !outcome.permanent);
}
