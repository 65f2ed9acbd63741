/** The devices of one scenario: some stay, one leaves, one vanishes, one vanishes and returns. And what the registry must say of them. */
import type { Redis } from 'ioredis';
import { waitUntil } from '../../scripts/stack.mjs';
import type { DeadLetterPageBody } from '../../apps/api-gateway/src/cluster/dead-letter.dto.js';
import type { Api } from '../support/api.js';
import { TestClient, type ReceivedMessage } from '../support/mqtt-client.js';
import { storedEvents } from '../support/stored-events.js';

const SHARDS = 32;
const STAYING = 9;

export class Devices {
  readonly ids: readonly string[];
  readonly staying: readonly string[];
  readonly removing: string;
  readonly vanishing: string;
  readonly returning: string;
  /** Connects only in scenarios with errors, and shakes hands once. */
  readonly reporting: string;
  private readonly clients = new Map<string, TestClient>();
  /** The last handshake of each, which the broker has acknowledged. */
  private readonly handshakes = new Map<string, string>();

  constructor(
    private readonly url: string,
    private readonly api: Api,
    name: string,
  ) {
    this.staying = Array.from({ length: STAYING }, (_, i) => `${name}-stays-${i}`);
    this.removing = `${name}-removes`;
    this.vanishing = `${name}-vanishes`;
    this.returning = `${name}-returns`;
    this.reporting = `${name}-reports`;
    this.ids = [...this.staying, this.removing, this.vanishing, this.returning];
  }

  async connect(ids = this.ids): Promise<void> {
    await Promise.all(
      ids.map(async (id, i) => {
        this.clients.set(id, await TestClient.connect(this.url, id, i % 2 === 0 ? 4 : 5));
        await this.shakeHands(id);
      }),
    );
  }

  async shakeHands(id: string): Promise<void> {
    const facts = { fqdn: `${id}.example.com`, visit: this.handshakes.get(id) ?? 'first' };
    this.handshakes.set(id, await this.one(id).shakeHands(facts));
  }

  /** Waits until each is online by its last handshake. */
  async untilOnline(ids = this.ids): Promise<void> {
    await Promise.all(
      ids.map((id) =>
        this.api.untilConnection(
          id,
          ({ state, handshake_message_id }) => state === 'online' && handshake_message_id === this.handshakes.get(id),
        ),
      ),
    );
  }

  /** One of them removes its handshake, one vanishes, and one vanishes and returns. */
  async leave(): Promise<void> {
    await this.remove(this.removing);
    this.one(this.vanishing).vanish();
    this.one(this.returning).vanish();
    await this.api.untilConnection(this.removing, ({ offline_reason }) => offline_reason === 'handshake-removed');
    await this.api.untilConnection(this.vanishing, ({ offline_reason }) => offline_reason === 'retained-offline');
    await this.connect([this.returning]);
  }

  /** Removes its handshake, and stays connected. */
  async remove(id: string): Promise<void> {
    await this.one(id).publish('', true);
  }

  /** Each that stays gets a message. */
  async receive(): Promise<void> {
    await Promise.all(
      this.staying.map(async (id) => {
        const { status, body } = await this.api.send(id, { directive: 'try' });
        expect(status).toBe(202);
        await this.one(id).waitFor('the message', ({ message_id }) => message_id === body.message_id);
      }),
    );
  }

  /** One that stays listens to nothing from now on. @returns the statuses of a message to it, until it is held or sent */
  async statusesWithoutSubscription(): Promise<string[]> {
    const [id = ''] = this.staying;
    await this.one(id).mqtt.unsubscribeAsync(`redhat/insights/out/${id}`);
    const { body } = await this.api.send(id, { directive: 'try' });
    const { status_history: history } = await this.api.untilStatus(body.message_id, 'held', 'sent', 'failed');
    return history.map(({ status }) => status);
  }

  /** A device reports an error that matches no message, and there is an event of it. */
  async reportError(redis: Redis, about: string): Promise<void> {
    await this.one(this.reporting).reportError(about, 'matches no message');
    await waitUntil(async () => expect(await this.reportedErrors(redis)).toContain(about), {
      what: `the event of the error about ${about}`,
      timeoutMs: 60_000,
    });
  }

  /** What the errors of that device were about, one entry for each event. */
  async reportedErrors(redis: Redis): Promise<string[]> {
    const streams = (['events', 'events:refusals'] as const).map((stream) =>
      storedEvents(redis, this.reporting, SHARDS, stream),
    );
    const events = (await Promise.all(streams)).flat().filter(({ type }) => type.startsWith('message.'));
    return events.map(({ type, in_response_to: about = type }) => about);
  }

  /** How many of its messages became dead letters. */
  async deadErrors(): Promise<number> {
    const { body } = await this.api.call<DeadLetterPageBody>('GET', '/v1/cluster/dead-letters?limit=200');
    return body.data.filter(({ client_id }) => client_id === this.reporting).length;
  }

  /** Ends all connections, and leaves nothing retained. */
  async end(): Promise<void> {
    await Promise.all(
      [...this.clients.values()].map(async (client) => {
        if (client.mqtt.connected) await client.sayGoodbye();
      }),
    );
  }

  /** The handshake-errors that any of them has received. */
  get refusals(): ReceivedMessage[] {
    return [...this.clients.values()].flatMap(({ received }) =>
      received.filter(({ type }) => type === 'handshake-error'),
    );
  }

  /** Each event that says that a client is offline whose connection has not ended. */
  async wronglyOffline(redis: Redis): Promise<string[]> {
    for (const id of this.staying) expect(this.one(id).mqtt.connected).toBe(true);
    const events = await Promise.all(this.staying.map(async (id) => offlineEvents(redis, id)));
    return events.flat();
  }

  private one(id: string): TestClient {
    const client = this.clients.get(id);
    if (client === undefined) throw new Error(`${id} has not connected`);
    return client;
  }
}

async function offlineEvents(redis: Redis, id: string): Promise<string[]> {
  const events = await storedEvents(redis, id, SHARDS);
  return events.filter(({ type }) => type === 'connection.offline').map((event) => JSON.stringify(event));
}
