/**
 * What callers, clients and subscribers of release 0.1.0 do, and what they see: no answers, no waiting, no types of events that
 * came later. One thing happens at a time, in a single shard, so that two runs see the same.
 */
import { startApp, startMosquitto, startRedis } from '../../scripts/stack.mjs';
import { Api, type MessageView } from '../support/api.js';
import { withoutGivenUpClaims } from '../support/claims.js';
import { EventListener, type SseEvent } from '../support/event-listener.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { Normalizer } from '../support/normalizer.js';

export interface Recording {
  /** The headers that all responses have. */
  headers: Record<string, string>;
  /** Each with its further headers. */
  calls: Call[];
  /** What each client got on its out topic, by its id. */
  packets: Record<string, Packet[]>;
  /** What each subscription got, by its query. */
  events: Record<string, unknown[]>;
}

interface Call {
  what: string;
  request: string;
  body?: unknown;
  status: number;
  headers: Record<string, string>;
  response: unknown;
}

interface Packet {
  topic: string;
  qos: number;
  retain: boolean;
  properties: Record<string, unknown>;
  text: string;
}

/** None, each type of release 0.1.0, their wildcards, and one client. */
const QUERIES: Record<string, string>[] = [
  {},
  { types: 'connection.online' },
  { types: 'connection.updated' },
  { types: 'connection.offline' },
  { types: 'connection.refused' },
  { types: 'message.status' },
  { types: 'message.unmatched_error' },
  { types: 'shard.moved' },
  { types: 'sweep.started' },
  { types: 'sweep.ended' },
  { types: 'connection.*' },
  { types: 'message.*' },
  { client_id: 'host-5' },
];

/** An MQTT 5 client that does not know what they are for ignores them. */
const ADDED_PROPERTIES = new Set(['responseTopic', 'correlationData']);

/** Starts the apps in the folder, plays, and returns what everybody saw. */
export async function playFormerStory(dir: string): Promise<Recording> {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  // No events are coalesced, so each change is seen.
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, SHARD_COUNT: '1', EVENT_SETTLE: '0s' };
  const { url } = await startApp('api-gateway', { dir, env });
  const subscriptions = new Map<string, EventListener>();
  for (const query of QUERIES) {
    subscriptions.set(`?${new URLSearchParams(query).toString()}`, await EventListener.open(url, query));
  }
  await Promise.all([startApp('status-ingester', { dir, env }), startApp('dispatcher', { dir, env })]);
  const story = new FormerStory(new Api(url), mosquitto.url, subscriptions);
  await story.play();
  return { ...withCommonHeaders(story.calls), packets: story.packets(), events: await story.events() };
}

class FormerStory {
  readonly calls: Call[] = [];
  private readonly received: Record<string, Packet[]> = {};
  private readonly normalizer = new Normalizer();
  /** Its subscription that names nothing. */
  private readonly all: EventListener;

  constructor(
    private readonly api: Api,
    private readonly broker: string,
    private readonly subscriptions: ReadonlyMap<string, EventListener>,
  ) {
    const all = subscriptions.get('?');
    if (all === undefined) throw new Error('no subscription gets all events');
    this.all = all;
  }

  async play(): Promise<void> {
    await this.api.untilBuilt();
    await this.playHost('host-4', 4);
    await this.playHost('host-5', 5);
    await this.playProxy();
    await this.playMistakes();
  }

  packets(): Record<string, Packet[]> {
    const normalized = (packet: Packet): Packet => ({ ...packet, text: this.normalizer.message(packet.text) });
    return Object.fromEntries(Object.entries(this.received).map(([id, packets]) => [id, packets.map(normalized)]));
  }

  /** Plays an end that everybody sees, and returns the events of each subscription. */
  async events(): Promise<Record<string, unknown[]>> {
    const last = await this.connect('last', 5);
    await last.shakeHandsAsProxy();
    await this.untilEvent('connection.online', 'last');
    const recorded: Record<string, unknown[]> = {};
    for (const [query, listener] of this.subscriptions) {
      const expected = this.all.received.filter((event) => isWanted(query, event)).map(({ data }) => data['event_id']);
      await listener.until(`the events of ${query}`, () => {
        const ids = listener.received.map(({ data }) => data['event_id']);
        if (ids.at(-1) !== expected.at(-1)) throw new Error(`${ids.length} of ${expected.length} events have come`);
      });
      recorded[query] = this.normalizer.json(withoutGivenUp(listener.received)) as unknown[];
      listener.close();
    }
    await last.mqtt.endAsync();
    return recorded;
  }

  private async playHost(id: string, version: 4 | 5): Promise<void> {
    const { api } = this;
    const path = `/v1/connections/${id}`;
    let client = await this.connect(id, version);
    await shakeHands(client, 1);
    await api.untilConnection(id, ({ state }) => state === 'online');
    await this.call(`${id} is online`, 'GET', path);
    await this.call(`${id} is found by a fact`, 'GET', `/v1/connections?fqdn=${id}.example.com`);
    await shakeHands(client, 2);
    await api.untilConnection(id, ({ handshake_message_id }) => handshake_message_id === `${id}-2`);

    const first = await this.send(`${id} first`, id);
    await api.untilStatus(first, 'sent');
    await this.read(`${id} first is sent`, first);
    const keyed = { ttl_seconds: 60, when_offline: 'reject' };
    const key = { 'idempotency-key': `key-of-${id}` };
    await api.untilStatus(await this.send(`${id} keyed`, id, keyed, key), 'sent');
    await this.send(`${id} keyed`, id, keyed, key);
    await this.send(`${id} keyed, with another body`, id, {}, key);
    await client.reportError(first, 'no such directive');
    await api.untilStatus(first, 'failed');
    await this.read(`${id} first has failed`, first);
    await this.call(`${id} first is not cancelled`, 'DELETE', `/v1/messages/${first}`);
    await client.publish(envelope('message-error', { in_response_to: 'unknown', payload: { details: 'lost' } }), false);
    await this.untilEvent('message.unmatched_error', id);

    client.vanish();
    await api.untilConnection(id, ({ state }) => state === 'offline');
    await this.send(`${id} refused since it is offline`, id, { when_offline: 'reject' });
    const expired = await this.send(`${id} expired`, id, { ttl_seconds: 1 });
    await api.untilStatus(expired, 'expired');
    await this.read(`${id} expired has expired`, expired);
    const cancelled = await this.send(`${id} cancelled`, id, {}, { prefer: 'respond-async' });
    await this.call(`${id} cancelled is cancelled`, 'DELETE', `/v1/messages/${cancelled}`);
    await this.read(`${id} cancelled was cancelled`, cancelled);
    const held = await this.send(`${id} held`, id);
    await this.read(`${id} held is held`, held);
    await this.call(`${id} is offline`, 'GET', path);
    client = await this.connect(id, version);
    await shakeHands(client, 3);
    await api.untilStatus(held, 'sent');
    await this.call(`${id} messages`, 'GET', `${path}/messages`);
    await this.call(`${id} page of sent messages`, 'GET', `${path}/messages?status=sent&limit=1`);

    await this.call(`${id} disconnected`, 'POST', `${path}/force-disconnect`, { reconnect_after: 'never' });
    await client.waitFor('force-disconnect', ({ type }) => type === 'force-disconnect');
    await client.sayGoodbye();
    await api.untilConnection(id, ({ state }) => state === 'offline');
    client = await this.connect(id, version);
    await shakeHands(client, 4);
    await client.waitFor('the refusal', ({ type }) => type === 'handshake-error');
    await this.call(`${id} may return`, 'DELETE', `${path}/refusal`);
    await shakeHands(client, 5);
    await api.untilConnection(id, ({ state }) => state === 'online');
    await this.call(`${id} is not forgotten while online`, 'DELETE', path);
    await client.sayGoodbye();
    await api.untilConnection(id, ({ state }) => state === 'offline');
    await this.call(`${id} in the summary`, 'GET', '/v1/connections/summary');
    await this.call(`${id} is forgotten`, 'DELETE', path);
    await this.call(`${id} is unknown`, 'GET', path);
  }

  private async playProxy(): Promise<void> {
    const client = await this.connect('proxy', 5);
    await client.shakeHandsAsProxy();
    await this.api.untilConnection('proxy', ({ state }) => state === 'online');
    const messages = [
      { client_id: 'proxy', directive: 'test:batch', payload: { list: [1, 1.5, null] } },
      { client_id: 'proxy', directive: 'test:without-payload', idempotency_key: 'item' },
      { client_id: 'nobody', directive: 'test:batch' },
      { client_id: 'proxy', directive: ' ' },
    ];
    await this.call('a batch', 'POST', '/v1/messages', { messages });
    await this.all.until('the batch is sent', () => {
      const sent = this.all.of('proxy').filter(({ data }) => data['status'] === 'sent');
      if (sent.length < 2) throw new Error(`${sent.length} messages are sent`);
    });
    await this.call('messages of the batch', 'GET', '/v1/connections/proxy/messages');
  }

  private async playMistakes(): Promise<void> {
    const messages = '/v1/connections/proxy/messages';
    const unknown = '/v1/messages/00000000-0000-4000-8000-000000000000';
    await this.call('an unknown client', 'POST', '/v1/connections/nobody/messages', { directive: 'x' });
    await this.call('malformed JSON', 'POST', messages, '{"directive"');
    await this.call('a blank directive', 'POST', messages, { directive: ' ' });
    await this.call('a time to live of 0', 'POST', messages, { directive: 'x', ttl_seconds: 0 });
    await this.call('a misspelt member', 'POST', messages, { directive: 'x', ttl: 5 });
    await this.call('another media type', 'POST', messages, 'x', { 'content-type': 'text/plain' });
    await this.call('an empty Idempotency-Key', 'POST', messages, { directive: 'x' }, { 'idempotency-key': '' });
    await this.call('another method', 'PUT', messages, { directive: 'x' });
    await this.call('an empty batch', 'POST', '/v1/messages', { messages: [] });
    await this.call('an invalid message id', 'GET', '/v1/messages/17');
    await this.call('an unknown message', 'GET', unknown);
    await this.call('an unknown message that is cancelled', 'DELETE', unknown);
    await this.call('an unknown path', 'GET', '/v1/unknown');
    await this.call('an invalid limit', 'GET', `${messages}?limit=0`);
    await this.call('an invalid cursor of events', 'GET', '/v1/events', undefined, { 'last-event-id': '17-0' });
  }

  /** Calls the API and records it. An accepted message is shown by the name of the call from then on. */
  private async call<Body>(
    what: string,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Body> {
    const answer = await this.api.call<Body>(method, path, body, { 'x-request-id': 'request-1', ...headers });
    const { message_id } = (answer.body ?? {}) as { message_id?: string };
    if (message_id !== undefined && answer.status === 202) this.normalizer.name(message_id, what);
    this.calls.push({
      what,
      request: this.normalizer.text(`${method} ${path}`),
      ...(body !== undefined && { body: this.normalizer.json(body) }),
      status: answer.status,
      headers: this.normalizer.headers(answer.headers),
      ...(answer.body !== undefined && { response: this.normalizer.json(answer.body) }),
    } as Call);
    return answer.body;
  }

  private async send(what: string, client: string, more: object = {}, headers = {}): Promise<string> {
    const body = { directive: 'test:story', payload: { what }, ...more };
    const path = `/v1/connections/${client}/messages`;
    return (await this.call<MessageView>(what, 'POST', path, body, headers)).message_id;
  }

  private read(what: string, id: string): Promise<unknown> {
    return this.call(what, 'GET', `/v1/messages/${id}`);
  }

  /** Connects a client, and records each message that it gets once. */
  private async connect(id: string, version: 4 | 5): Promise<TestClient> {
    const client = await TestClient.connect(this.broker, id, version);
    const packets = (this.received[id] ??= []);
    client.mqtt.on('message', (topic, data, { qos, retain, properties = {} }) => {
      const text = data.toString();
      if (packets.some((packet) => packet.text === text)) return;
      const compared = Object.entries(properties).filter(([name]) => !ADDED_PROPERTIES.has(name));
      packets.push({ topic, qos, retain, properties: Object.fromEntries(compared), text });
    });
    return client;
  }

  private async untilEvent(type: string, client: string): Promise<void> {
    await this.all.until(`${type} of ${client}`, () => {
      if (!this.all.of(client).some(({ event }) => event === type)) throw new Error('it has not come');
    });
  }
}

function withCommonHeaders(calls: readonly Call[]): Pick<Recording, 'headers' | 'calls'> {
  const isCommon = ([name, value]: [string, string]): boolean => calls.every(({ headers }) => headers[name] === value);
  const common = Object.entries(calls[0]?.headers ?? {}).filter(isCommon);
  const further = (call: Call): [string, string][] =>
    Object.entries(call.headers).filter((header) => !isCommon(header));
  return {
    headers: Object.fromEntries(common),
    calls: calls.map((call) => ({ ...call, headers: Object.fromEntries(further(call)) })),
  };
}

async function shakeHands(client: TestClient, number: number): Promise<void> {
  const facts = { fqdn: `${client.id}.example.com`, ip_addresses: ['192.0.2.7'], number };
  const more = { message_id: `${client.id}-${number}`, payload: { canonical_facts: facts } };
  await client.publish(envelope('host-handshake', more), true);
}

function isWanted(query: string, { event, data }: SseEvent): boolean {
  const wanted = new URLSearchParams(query);
  const [types, client] = [wanted.get('types'), wanted.get('client_id')];
  if (types !== null && types !== event && !(types.endsWith('*') && event.startsWith(types.slice(0, -1)))) return false;
  return client === null || data['client_id'] === client;
}

/** Their types and data, without the claims of a message that were given up, and without leases of a shard that were lost. */
function withoutGivenUp(events: readonly SseEvent[]): Omit<SseEvent, 'id'>[] {
  const ids = new Set(events.map(({ data }) => data['message_id']));
  const kept = new Set<SseEvent>();
  for (const id of ids) {
    const statuses = events.filter(({ data }) => data['message_id'] === id);
    for (const one of withoutGivenUpClaims(statuses, (change) => change?.data['status'])) kept.add(one);
  }
  const moved = events.find(({ event }) => event === 'shard.moved');
  return events
    .filter((one) => kept.has(one) && (one.event !== 'shard.moved' || one === moved))
    .map(({ event, data }) => ({ event, data }));
}
