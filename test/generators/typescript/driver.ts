/** What an application does with the client that @hey-api/openapi-ts has generated into `api`. It prints a report as JSON. */
import {
  getConnection,
  listConnections,
  readMessage,
  sendMessage,
  streamEvents,
  type ConnectionOnlineEvent,
  type Event,
  type GapEvent,
  type MessageProgressEvent,
  type MessageStatusEvent,
} from './api/index.js';
import { client } from './api/client.gen.js';

const [baseUrl = '', clientId = ''] = process.argv.slice(2);
client.setConfig({ baseUrl, auth: () => process.env.CLOUD_CONNECTOR_TOKEN });

/** The compiler knows the schema of an event by its type. */
type EventOf<Type extends Event['type']> = Extract<Event, { type: Type }>;
type Is<One, Other> = [One] extends [Other] ? ([Other] extends [One] ? true : never) : never;
export const TYPED: [
  Is<EventOf<'connection.online'>, ConnectionOnlineEvent>,
  Is<EventOf<'message.status'>, MessageStatusEvent>,
  Is<EventOf<'message.progress'>, MessageProgressEvent>,
  Is<EventOf<'gap'>, GapEvent>,
] = [true, true, true, true];

async function allConnections(): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const { data } = await listConnections({ query: { state: 'online', limit: 1, cursor }, throwOnError: true });
    ids.push(...data.data.map((connection) => connection.client_id));
    cursor = data.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return ids.sort();
}

/** @returns the kind of the problem */
async function readNobody(): Promise<string | undefined> {
  const { error } = await getConnection({ path: { client_id: 'nobody' } });
  return error?.type;
}

/** Sends a message, and waits for its answer within the same request. */
async function call(): Promise<unknown> {
  const body = { directive: 'demo:ping', payload: { job: 7 }, response_timeout_seconds: 30 };
  const headers = { Prefer: 'wait=30' };
  const { data } = await sendMessage({ path: { client_id: clientId }, headers, body, throwOnError: true });
  return 'answer' in data ? data.answer?.payload : undefined;
}

/** Follows the events since `since`. As soon as it gets the answer of the first message, it sends another. */
async function follow(since: string): Promise<{ events: [string, string | number | undefined][]; answer: unknown }> {
  const ended = new AbortController();
  const query = { types: ['message.status' as const, 'message.progress' as const], client_id: clientId, since };
  const { stream } = await streamEvents({ query, signal: ended.signal, sseMaxRetryAttempts: 1 });
  const events: [string, string | number | undefined][] = [];
  let second: string | undefined;
  for await (const event of stream) {
    const about = event.type === 'message.status' || event.type === 'message.progress' ? event.message_id : undefined;
    if (event.type === 'message.progress' && about === second) events.push([event.type, event.percent]);
    if (event.type !== 'message.status') continue;
    if (about === second) events.push([event.type, event.status]);
    if (event.status !== 'answered') continue;
    if (about === second) break;
    const path = { client_id: clientId };
    const { data } = await sendMessage({
      path,
      body: { directive: 'demo:work', payload: { steps: 2 } },
      throwOnError: true,
    });
    second = data.message_id;
  }
  ended.abort();
  if (second === undefined) throw new Error('the stream has ended before the first message was answered');
  const { data: message } = await readMessage({ path: { message_id: second }, throwOnError: true });
  return { events, answer: message.answer?.payload };
}

const since = new Date().toISOString();
const report = {
  connections: await allConnections(),
  problem: await readNobody(),
  called: await call(),
  followed: await follow(since),
};
console.log(JSON.stringify(report));
