import { register } from 'prom-client';
import { TopicTemplate } from '@app/protocol';
import type { Publisher, PublishOutcome } from '@app/broker';
import {
  encodeCommand,
  type Connection,
  type ConnectionDirectory,
  type DueWorkOfShards,
  type Outboxes,
  type ToDo,
  type WakeUps,
} from '@app/registry';
import type { Grant, MailboxItem, Mailboxes } from '@app/sharding';
import { quiet } from '../../../../test/support/servers.js';
import { Effects, type EffectTools } from './effects.js';

const SHARD: Grant = { kind: 'shard', index: 3, epoch: 1, fence: '1:boot' };
const OLD = 'old/{clientId}/status';
const NEW = 'new/{clientId}/status';
const CLEAR: ToDo = { do: 'clear-retained', client_id: 'host-1', status_topic: OLD };
const FORGET: ToDo = { do: 'forget', client_id: 'host-1' };
const ERROR: ToDo = { do: 'message-error', client_id: 'host-1', in_response_to: 'sent-1', details: 'no disk' };

let finished: ToDo[];
let published: { topic: string; payload: string; retain: boolean | undefined }[];
let sent: [number, MailboxItem][];
let failed: string[];
let connection: Connection | undefined;
let publishes: () => PublishOutcome;
let effects: Effects;

beforeEach(() => {
  register.resetMetrics();
  finished = [];
  published = [];
  sent = [];
  failed = [];
  connection = undefined;
  publishes = () => ({ kind: 'acknowledged' });
  const due: Pick<DueWorkOfShards, 'done'> = {
    done: (_, todos) => {
      finished.push(...todos.map(({ todo }) => todo));
      return Promise.resolve();
    },
  };
  const wakeUps: Pick<WakeUps, 'wake'> = { wake: () => Promise.resolve() };
  const directory: Pick<ConnectionDirectory, 'load'> = { load: () => Promise.resolve([connection]) };
  const outboxes: Pick<Outboxes, 'failByClient'> = {
    failByClient: (_, messageId) => {
      failed.push(messageId);
      return Promise.resolve('failed');
    },
  };
  const mailboxes: Pick<Mailboxes, 'send'> = {
    send: (shard, item) => {
      sent.push([shard, item]);
      return Promise.resolve(true);
    },
  };
  const publisher: Pick<Publisher, 'publish'> = {
    publish: (topic, payload, options) => {
      published.push({ topic, payload, retain: options?.retain });
      return Promise.resolve(publishes());
    },
  };
  const tools = {
    due,
    wakeUps,
    directory,
    outboxes,
    mailboxes,
    publisher,
    outTopic: new TopicTemplate('out/{clientId}'),
  };
  effects = new Effects({ ...tools, logger: quiet } as unknown as EffectTools);
});

/** Waits until the to-dos given have been tried. */
async function tried(...todos: ToDo[]): Promise<void> {
  effects.begin(
    SHARD,
    todos.map((todo) => ({ todo, due: 1 })),
  );
  await effects.stop();
}

async function counted(): Promise<Record<string, number>> {
  const values = (await register.getSingleMetric('cloud_connector_todos_done_total')?.get())?.values ?? [];
  return Object.fromEntries(
    values.filter(({ value }) => value > 0).map(({ labels, value }): [string, number] => [String(labels.kind), value]),
  );
}

function onTopic(topic: string): Connection {
  return { client_id: 'host-1', status_topic: topic } as Connection;
}

describe('clear-retained', () => {
  it.each([
    ['moved to another topic', onTopic(NEW)],
    ['was forgotten', undefined],
  ])('removes the retained message a client left behind that %s', async (_, present) => {
    connection = present;
    await tried(CLEAR);
    expect(published).toEqual([{ topic: 'old/host-1/status', payload: '', retain: true }]);
    expect(finished).toEqual([CLEAR]);
  });

  it('leaves the handshake of a client alone that moved back meanwhile', async () => {
    connection = onTopic(OLD);
    await tried(CLEAR);
    expect(published).toEqual([]);
    expect(finished).toEqual([CLEAR]);
  });

  it('is not done where the wait for the broker was given up', async () => {
    publishes = () => ({ kind: 'aborted' });
    await tried(CLEAR);
    expect(finished).toEqual([]);
    expect(await counted()).toEqual({});
  });
});

describe('forget', () => {
  it('is a command in the mailbox; whether it is done, the command itself decides', async () => {
    await tried(FORGET);
    expect(sent).toEqual([
      [SHARD.index, encodeCommand({ clientId: 'host-1', command: { do: 'forget', overdue: true } })],
    ]);
    expect(finished).toEqual([]);
  });
});

describe('confirm', () => {
  it.each([
    [undefined, 'goodbye'],
    ['flood', 'flood'],
  ] as const)('after %s has the client verified, because of %s', async (after, reason) => {
    const todo: ToDo = { do: 'confirm', client_id: 'host-1', ...(after && { after }) };
    await tried(todo);
    expect(sent).toEqual([[SHARD.index, encodeCommand({ clientId: 'host-1', command: { do: 'verify', reason } })]]);
    expect(finished).toEqual([todo]);
  });
});

describe('to-dos', () => {
  it('count as done only where they were done', async () => {
    await tried(CLEAR, FORGET, ERROR, { do: 'wake' });
    expect(finished).toEqual([CLEAR, ERROR]);
    expect(await counted()).toEqual({ wake: 1, 'clear-retained': 1, 'message-error': 1 });
  });

  it('that fail keep no other from being done, and stay', async () => {
    publishes = () => {
      throw new Error('no broker');
    };
    await tried(CLEAR, ERROR);
    expect(failed).toEqual(['sent-1']);
    expect(finished).toEqual([ERROR]);
    expect(await counted()).toEqual({ 'message-error': 1 });
  });
});
