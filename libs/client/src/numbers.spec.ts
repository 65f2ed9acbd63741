/** What is checked before a request: nothing of it may be sent. */
import { jest } from '@jest/globals';
import { CloudConnector } from './cloud-connector.js';
import { limitOf, LONGEST_TIMER_MS } from './numbers.js';
import { pause } from './pause.js';

const send = jest.fn<typeof fetch>(() => Promise.resolve(Response.json({ data: [], next_cursor: null })));
const connect = (timeoutMs?: number): CloudConnector =>
  new CloudConnector({ baseUrl: 'http://gateway', fetch: send, timeoutMs });
const connector = connect();
const message = { directive: 'print' };

beforeEach(() => send.mockClear());

const failure = async (act: () => unknown): Promise<unknown> => {
  try {
    await act();
    return 'it did not fail';
  } catch (error) {
    return error;
  }
};

const longest = 'must be more than 0 and at most 2073600000 ms (24 days), or left out';
const ofCall = 'must be more than 0 and at most 2592000000 ms (30 days), or left out';
const page = 'must be a whole number from 1 to 1000, or left out';
const seconds = 'must be a whole number from 1 to 2592000, or left out';
const next = (items: AsyncGenerator): Promise<unknown> => items.next();

it.each<[string, () => unknown, string]>([
  ['a limit of all calls', () => connect(-5), `timeoutMs ${longest}, not -5`],
  ['one that is no number', () => connect(NaN), `timeoutMs ${longest}, not NaN`],
  ['a text', () => connect('5s' as unknown as number), `timeoutMs ${longest}, not "5s"`],
  ['a limit of one call', () => connector.getCluster({ timeoutMs: 0 }), `timeoutMs ${longest}, not 0`],
  ['one for a timer', () => connector.whoami({ timeoutMs: 2 ** 31 }), `timeoutMs ${longest}, not 2147483648`],
  ['a limit of a wait', () => connector.waitForMessage('m', { timeoutMs: NaN }), `timeoutMs ${longest}, not NaN`],
  ['no time for an answer', () => connector.call('c', message, { timeoutMs: 0 }), `timeoutMs ${ofCall}, not 0`],
  ['an endless call', () => connector.call('c', message, { timeoutMs: Infinity }), `timeoutMs ${ofCall}, not Infinity`],
  ['silence', () => next(connector.events({ silenceMs: -1 })), `silenceMs ${longest}, not -1`],
  ['silence of clients', () => next(connector.clientMessages({ silenceMs: NaN })), `silenceMs ${longest}, not NaN`],
  ['a page', () => connector.listConnections({ limit: 1001 }), `limit ${page}, not 1001`],
  ['all pages', () => next(connector.messages('c', { limit: 0.5 })), `limit ${page}, not 0.5`],
  ['dead letters', () => connector.listDeadLetters({ limit: 201 }), 'limit must be a whole number from 1 to 200'],
  ['a ttl', () => connector.sendMessage('c', { ...message, ttl_seconds: 0.5 }), `ttl_seconds ${seconds}, not 0.5`],
  [
    'an endless wait for an answer',
    () => connector.sendMessage('c', { ...message, response_timeout_seconds: Infinity }),
    `response_timeout_seconds ${seconds}, not Infinity`,
  ],
  ['no wait', () => connector.readMessage('m', { prefer: 'wait=0' }), 'seconds from 1 to 60, not "wait=0"'],
  [
    'a wait that would be cut off',
    () => connector.readMessage('m', { prefer: 'wait=10', timeoutMs: 10_000 }),
    'timeoutMs must be more than the 10 s of prefer "wait=10", not 10000 ms',
  ],
  ['a long wait', () => connector.sendMessage('c', message, { prefer: 'wait=61' }), 'from 1 to 60, not "wait=61"'],
  ['a payload', () => connector.call('c', { ...message, payload: { n: [1, NaN] } }), 'must be a finite number'],
  [
    'a batch',
    () => connector.sendMessages([{ ...message, client_id: 'c', ttl_seconds: NaN }]),
    'ttl_seconds must be a finite number, or null, or left out, not NaN: JSON has no other',
  ],
  ['a date', () => next(connector.events({ since: new Date('soon') })), 'since must be a valid Date or an RFC 3339'],
])('refuses %s that cannot be meant, and names the option, the remedy and the value', async (_, act, text) => {
  const error = await failure(act);
  expect(error).toBeInstanceOf(RangeError);
  expect((error as Error).message).toContain(text);
  expect(send).not.toHaveBeenCalled();
});

it('sends the smallest and the greatest values', async () => {
  await connect(LONGEST_TIMER_MS).listConnections({ limit: 1000 }, { timeoutMs: 0.5 });
  await connector.sendMessage('c', { ...message, ttl_seconds: 2_592_000 }, { prefer: 'wait=60', timeoutMs: 60_001 });
  await connector.readMessage('m', { prefer: 'respond-async' });
  expect(send).toHaveBeenCalledTimes(3);
});

it('a pause that a service asks for and no timer can hold does not end at once', () => {
  const timers = jest.spyOn(globalThis, 'setTimeout');
  const end = new AbortController();
  void pause(1e15, end.signal);
  expect(timers).toHaveBeenCalledWith(expect.any(Function), LONGEST_TIMER_MS);
  end.abort();
  timers.mockRestore();
});

it('the default time limit of a request grows with its wait', () => {
  expect([undefined, 'wait=20', 'wait=60', 'respond-async'].map((prefer) => limitOf(prefer, undefined))).toEqual([
    ...[30_000, 30_000, 70_000, 30_000],
  ]);
  expect(limitOf('wait=60', 60_001)).toBe(60_001);
});
