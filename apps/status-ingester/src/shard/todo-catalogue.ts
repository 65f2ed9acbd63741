/**
 * The catalogue of to-dos: for each kind what is done, how many of it may run at once in this process, how long one may
 * take, and who removes it. A kind of `ToDo` that is missing here does not compile.
 */
import { counter, type Logger, valuesOf } from '@app/platform';
import { TopicTemplate, encodeAnswer } from '@app/protocol';
import type { PublishOptions, PublishOutcome, Publisher } from '@app/broker';
import {
  encodeCommand,
  encodeHandshakeError,
  type Command,
  type ConnectionDirectory,
  type ConnectionToDo,
  type Outboxes,
  type Refusals,
  type ToDo,
  type WakeUps,
  type ClientErrorOutcome,
} from '@app/registry';
import type { Grant, Mailboxes } from '@app/sharding';
import type { Accounts, Verifications } from './ports.js';
import { RefusalLimits, unkept } from './refusal-limits.js';

const CLIENT_ERROR_OUTCOMES = valuesOf<ClientErrorOutcome>({
  failed: true,
  repeated: true,
  unknown: true,
  foreign: true,
  'not-published': true,
});
const clientErrors = counter('client_errors', 'message-error messages of clients, by outcome.', {
  outcome: CLIENT_ERROR_OUTCOMES,
});

/** `done`: counted. `passed-on`: somebody else goes on with it. `later`: it comes up again. */
export type ToDoOutcome = 'done' | 'passed-on' | 'later';

export interface ToDoRun {
  grant: Grant;
  /** Aborted when the time of the to-do is over, when a commit has removed it, or when this process stops. */
  signal: AbortSignal;
  /** Aborted when this process stops. */
  stopping: AbortSignal;
}

export interface ToDoKind<T extends ToDo> {
  /** Most of this kind at once. */
  most: number;
  timeoutMs: number;
  /** `runner`: once it is `done`. `itself`: by what it does, or by what that leads to. */
  removedBy: 'runner' | 'itself';
  run(todo: T, run: ToDoRun): Promise<ToDoOutcome>;
}

export type ToDoKinds = { readonly [Kind in ToDo['do']]: ToDoKind<Extract<ToDo, { do: Kind }>> };

export interface ToDoTools {
  verifier: Pick<Verifications, 'request'>;
  /** Undefined if accounts are not in use. */
  accounts: Pick<Accounts, 'ask'> | undefined;
  refusals: Refusals;
  wakeUps: WakeUps;
  outboxes: Outboxes;
  directory: ConnectionDirectory;
  mailboxes: Mailboxes;
  publisher: Publisher;
  outTopic: TopicTemplate;
  logger: Logger;
}

/** Publishes wait for the broker, and must not keep the rest from being done. */
const PUBLISH = { most: 500, timeoutMs: 30_000 } as const;
const REDIS = { most: 500, timeoutMs: 10_000 } as const;

/** How long what was read of a connection is good for to remove its retained message on the topic it has left. */
const CLEAR_WITHIN_MS = 500;

export function toDoKinds(tools: ToDoTools): ToDoKinds {
  const { verifier, accounts, refusals, wakeUps, outboxes, directory, mailboxes, publisher, outTopic, logger } = tools;
  // Of errors that match no message.
  const limits = new RefusalLimits();
  const send = async ({ index }: Grant, { client_id: clientId }: ConnectionToDo, command: Command): Promise<boolean> =>
    mailboxes.send(index, encodeCommand({ clientId, command }));
  const noteAnswer = ({ kind }: PublishOutcome, about: { client_id: string; message_id: string; type: string }): void =>
    logger.info({ ...about, outcome: kind }, 'client answered');

  return {
    // The drain removes it.
    wake: {
      ...REDIS,
      removedBy: 'itself',
      run: async (_todo, { grant }) => {
        await wakeUps.wake([grant.index]);
        return 'done';
      },
    },
    reply: {
      ...PUBLISH,
      removedBy: 'runner',
      run: async ({ client_id, reply, message_id }, run) => {
        const text = encodeAnswer(reply, message_id);
        const outcome = await publisher.publish(outTopic.topicOf(client_id), text, waitOf(run));
        if (mayTryAgain(outcome)) return 'later';
        noteAnswer(outcome, { client_id, message_id, type: reply.type });
        return 'done';
      },
    },
    // Its scripts remove it, or put it off until the client may be answered again.
    refuse: {
      ...PUBLISH,
      removedBy: 'itself',
      run: async ({ client_id }, run) => {
        const { grant } = run;
        const refusal = await refusals.next(grant, client_id);
        if (refusal === undefined) return 'passed-on';
        const text = encodeHandshakeError(refusal);
        const outcome = await publisher.publish(outTopic.topicOf(client_id), text, waitOf(run));
        if (mayTryAgain(outcome)) return 'later';
        await refusals.replied(grant, refusal, outcome.kind === 'acknowledged');
        noteAnswer(outcome, { client_id, message_id: refusal.messageId, type: 'handshake-error' });
        return 'done';
      },
    },
    'message-error': {
      ...REDIS,
      removedBy: 'runner',
      run: async ({ client_id, in_response_to: message_id, details }, { grant }) => {
        const mayTell = limits.takeEvent(client_id, Date.now());
        const outcome = await outboxes.failByClient(client_id, message_id, details, mayTell);
        const unmatched = outcome === 'unknown' || outcome === 'foreign';
        if (mayTell && !unmatched) limits.returnEvent(client_id);
        if (!mayTell && unmatched) unkept.inc({ what: 'event' });
        clientErrors.inc({ outcome });
        if (mayTell || !unmatched)
          logger.info({ client_id, message_id, shard: grant.index, outcome, details }, 'message-error of a client');
        return 'done';
      },
    },
    'clear-retained': {
      ...PUBLISH,
      removedBy: 'runner',
      run: async ({ client_id, status_topic }, run) => {
        const [connection] = await directory.load(run.grant.index, [client_id]);
        if (connection?.status_topic === status_topic) return 'done';
        const topic = new TopicTemplate(status_topic).topicOf(client_id);
        // What was looked up must not be acted on later: the client may move back to the topic.
        const writeBy = performance.now() + CLEAR_WITHIN_MS;
        const outcome = await publisher.publish(topic, '', { retain: true, writeBy, ...waitOf(run) });
        const isDone = outcome.kind === 'acknowledged' || outcome.kind === 'unheard';
        return isDone || (outcome.kind === 'refused' && outcome.forGood) ? 'done' : 'later';
      },
    },
    // Its result, once applied, removes it.
    verify: {
      ...REDIS,
      removedBy: 'itself',
      run: ({ client_id }, { grant }) => {
        verifier.request(grant, [{ clientId: client_id, reason: 'again' }]);
        return Promise.resolve('passed-on');
      },
    },
    confirm: {
      ...REDIS,
      removedBy: 'runner',
      run: async (todo, { grant }) =>
        (await send(grant, todo, { do: 'verify', reason: todo.after ?? 'goodbye' })) ? 'done' : 'later',
    },
    // The command removes it, or puts it off.
    forget: {
      ...REDIS,
      removedBy: 'itself',
      run: async (todo, { grant }) =>
        (await send(grant, todo, { do: 'forget', overdue: true })) ? 'passed-on' : 'later',
    },
    // The answer, once applied, removes it, or puts it off.
    account: {
      ...REDIS,
      removedBy: 'runner',
      run: ({ client_id }, { grant }) => {
        accounts?.ask(grant, client_id);
        return Promise.resolve(accounts === undefined ? 'done' : 'passed-on');
      },
    },
    // The command removes it, or puts it off.
    'emit-waiting': {
      ...REDIS,
      removedBy: 'itself',
      run: async (todo, { grant }) => ((await send(grant, todo, { do: 'emit-waiting' })) ? 'passed-on' : 'later'),
    },
    'fail-moved': {
      ...REDIS,
      removedBy: 'runner',
      run: async ({ client_id }, { grant }) => {
        const failed = await outboxes.failMoved(grant.index, client_id);
        const about = { client_id, shard: grant.index, failed };
        if (failed > 0) logger.info(about, 'messages failed: their client belongs to another account now');
        return 'done';
      },
    },
    // The command removes it, or puts it off.
    flush: {
      ...REDIS,
      removedBy: 'itself',
      run: async (todo, { grant }) => ((await send(grant, todo, { do: 'flush' })) ? 'passed-on' : 'later'),
    },
  };
}

/** What has been written is not published again before its outcome is known: it may be in the socket, and arrive twice. */
function waitOf({ signal, stopping }: ToDoRun): Pick<PublishOptions, 'signal' | 'untilWritten'> {
  return { signal: stopping, untilWritten: signal };
}

/** Nothing is known of the publish, or the broker would take it another time. */
function mayTryAgain(outcome: PublishOutcome): boolean {
  return outcome.kind === 'aborted' || (outcome.kind === 'refused' && !outcome.forGood);
}
