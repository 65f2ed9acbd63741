import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Messages, StoredMessage } from '@app/registry';
import { quiet } from '../../../../test/support/servers.js';
import { ANONYMOUS, type Caller } from '../access/caller.js';
import { CredentialsWatch } from '../access/credentials-watch.js';
import { FinalWaits } from './final-waits.js';
import { Waits, type Wait } from './waits.js';

const OTHER: Caller = { ...ANONYMOUS, id: 'key:other' };

/** Stands for a response; only its end is observed. */
function response(): ServerResponse {
  return Object.assign(new EventEmitter().setMaxListeners(1), { destroyed: false }) as unknown as ServerResponse;
}

function waitsOf(total = 100, perCaller = 100): Waits {
  return new Waits({ total, perCaller }, new CredentialsWatch(() => true));
}

function begun(waits: Waits, caller = ANONYMOUS, to = response()): Wait {
  const wait = waits.begin(caller, 60, to);
  if (wait === undefined) throw new Error('the request does not wait');
  return wait;
}

describe('a wait', () => {
  let waits: Waits;

  beforeEach(() => (waits = waitsOf()));

  afterEach(() => expect(waits.size).toBe(0));

  it('gets the reports of its message, and of no other one', async () => {
    const [wait, other] = [begun(waits), begun(waits)];
    waits.follow(wait, 'a');
    waits.follow(other, 'b');
    waits.onFinal('b');
    expect(await other.next()).toBe('final');
    waits.onFinal('a');
    expect(await wait.next()).toBe('final');
    for (const one of [wait, other]) waits.close(one);
  });

  it('gets a report that came before it was asked, once', async () => {
    const wait = begun(waits);
    waits.follow(wait, 'a');
    waits.onFinal('a');
    waits.onFinal('a');
    expect(await wait.next()).toBe('final');
    wait.end('stopping');
    expect(await wait.next()).toBe('stopping');
    waits.close(wait);
  });

  it('follows one message at a time', async () => {
    const wait = begun(waits);
    waits.follow(wait, 'a');
    waits.follow(wait, 'b');
    waits.onFinal('a');
    wait.end('deadline');
    expect(await wait.next()).toBe('deadline');
    waits.close(wait);
    waits.follow(wait, 'a');
  });

  it('ends when its caller leaves, and keeps nothing at the response', async () => {
    const to = response();
    const wait = begun(waits, ANONYMOUS, to);
    const next = wait.next();
    to.emit('close');
    expect(await next).toBe('left');
    waits.close(wait);
    const finished = begun(waits, ANONYMOUS, to);
    waits.close(finished);
    expect(to.listenerCount('close')).toBe(0);
  });

  it('ends when the gateway stops, and none begins from then on', async () => {
    const wait = begun(waits);
    const next = wait.next();
    waits.stop();
    expect(await next).toBe('stopping');
    expect(waits.begin(ANONYMOUS, 60, response())).toBeUndefined();
    waits.close(wait);
  });

  it('does not begin for a caller who has left', () => {
    const to = Object.assign(response(), { destroyed: true });
    expect(waits.begin(ANONYMOUS, 60, to)).toBeUndefined();
  });

  it('is reported with ten thousand others after a lost subscription, and leaves nothing behind', async () => {
    waits = waitsOf(10_000, 10_000);
    const all = Array.from({ length: 10_000 }, () => begun(waits));
    for (const [i, wait] of all.entries()) waits.follow(wait, `message-${i % 5000}`);
    const events = all.map((wait) => wait.next());
    await waits.onSubscribedAgain();
    expect(new Set(await Promise.all(events))).toEqual(new Set(['final']));
    for (const wait of all) waits.close(wait, 'final');
  });
});

describe('the limits of waits', () => {
  it('let no more wait at a gateway, until a place is free', () => {
    const waits = waitsOf(2);
    const first = begun(waits);
    const second = begun(waits, OTHER);
    expect(waits.begin(ANONYMOUS, 60, response())).toBeUndefined();
    waits.close(first);
    waits.close(first);
    for (const wait of [begun(waits), second]) waits.close(wait);
    expect(waits.size).toBe(0);
  });

  it('let no more of one caller wait, and leave places to others', () => {
    const waits = waitsOf(10, 1);
    const first = begun(waits);
    expect(waits.begin({ ...ANONYMOUS }, 60, response())).toBeUndefined();
    const other = begun(waits, OTHER);
    waits.close(first);
    for (const wait of [begun(waits), other]) waits.close(wait);
  });
});

describe('requests that wait for the same message', () => {
  const bound: Caller = { ...ANONYMOUS, id: 'key:acme', account: 'acme' };
  let waits: Waits;
  let finalWaits: FinalWaits;
  let reads: { account: string | undefined; answer: (status: StoredMessage['status']) => void }[];

  beforeEach(() => {
    [waits, reads] = [waitsOf(), []];
    const messages: Pick<Messages, 'read' | 'register'> = {
      register: () => Promise.resolve('registered'),
      read: (_, account) =>
        new Promise((resolve) => {
          const answer = (status: StoredMessage['status']): void => resolve({ status } as StoredMessage);
          reads.push({ account, answer });
        }),
    };
    finalWaits = new FinalWaits(waits, { gatewayId: 'g', start: () => Promise.resolve() }, messages, quiet);
  });

  function waitFor(messageId: string, caller = ANONYMOUS): Promise<unknown> {
    const wait = begun(waits, caller);
    waits.follow(wait, messageId);
    return finalWaits.untilFinal(wait, messageId, { readFirst: false });
  }

  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('share one read of each account when it is reported, and the next report leads to another one', async () => {
    const waiting = [waitFor('a'), waitFor('a'), waitFor('a', bound), waitFor('b')];
    waits.onFinal('a');
    await turn();
    expect(reads.map(({ account }) => account)).toEqual([undefined, 'acme']);
    for (const { answer } of reads.splice(0)) answer('sent');
    await turn();
    waits.onFinal('a');
    await turn();
    waits.onFinal('b');
    await turn();
    expect(reads.map(({ account }) => account)).toEqual([undefined, 'acme', undefined]);
    for (const { answer } of reads) answer('answered');
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => ({ kind: 'read', message: { status: 'answered' } })));
  });

  it('read again if a report comes while a read is under way', async () => {
    const waiting = waitFor('a');
    waits.onFinal('a');
    await turn();
    const other = waitFor('a');
    waits.onFinal('a');
    await turn();
    expect(reads).toHaveLength(2);
    for (const { answer } of reads) answer('answered');
    await Promise.all([waiting, other]);
  });
});
