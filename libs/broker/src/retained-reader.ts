/**
 * Reads what the broker retains on exact topics. Each batch is one SUBSCRIBE; when the broker has answered it, a second one
 * follows for the sentinel, a topic the service keeps retained. MQTT does not say in which order the filters of one
 * SUBSCRIBE are served. When the sentinel has come, what has not come is taken for absent; a broker that serves
 * subscriptions side by side may still be late, so whoever would take a client offline reads again some time later.
 *
 * - R1 One batch at a time, on a clean connection of its own, QoS 0: nothing is queued, and nothing can be left over.
 * - R2 No sentinel in time means nothing is known: the read fails as a whole and the connection is given up.
 * - R3 Live messages are not taken: without Retain As Published only what was retained carries the flag.
 */
import type { IPublishPacket, MqttClient } from 'mqtt';
import { Backoff, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { openMqtt, refusedTopic } from './mqtt-connection.js';

/** Most topics of one read: what fits a packet on brokers with small limits. */
export const MOST_TOPICS_A_READ = 200;
/** No sentinel within this: the read has failed. */
const READ_MS = 5000;

/** The broker did not prove what it retains; nothing is known, and the read is to be repeated. */
export class IncompleteReadError extends Error {
  override readonly name = 'IncompleteReadError';
}

/** It could not be asked at all: what was to be read has nothing to do with it. */
export class BrokerAwayError extends IncompleteReadError {
  constructor(details: string) {
    super(`no connection to the broker: ${details}`);
  }
}

export class RetainedReader {
  private client: Promise<MqttClient> | undefined;
  /** Gives up the connection that is being opened. */
  private abandon: ((why: string) => void) | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private readonly backoff = new Backoff(100, 2000, 5000);
  private retryAt = 0;
  private closed = false;

  constructor(
    private readonly access: BrokerAccess,
    private readonly clientId: string,
    /** A topic outside of every client's. Published here, retained, on each new connection. */
    private readonly sentinel: string,
    private readonly logger: Logger,
    private readonly readMs = READ_MS,
  ) {}

  /**
   * The retained payloads of these topics; one that is missing from the answer has none.
   * @throws IncompleteReadError
   */
  read(topics: readonly string[]): Promise<Map<string, Buffer>> {
    if (topics.length > MOST_TOPICS_A_READ)
      throw new RangeError(`at most ${MOST_TOPICS_A_READ} topics can be read at once`);
    const turn = this.last.then(() => this.readNow(topics));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.abandon?.('the reader is closed');
    const client = await this.client?.catch(() => undefined);
    client?.end(true);
    await this.last;
  }

  private async readNow(topics: readonly string[]): Promise<Map<string, Buffer>> {
    if (topics.length === 0) return new Map();
    const client = await this.connected();
    try {
      const found = await this.collect(client, topics);
      this.backoff.succeeded();
      // Not awaited: the next SUBSCRIBE goes out after it on the same connection.
      client.unsubscribe([...topics, this.sentinel], (error) => {
        if (error != null) this.logger.debug({ err: error }, 'could not unsubscribe after a read');
      });
      return found;
    } catch (error) {
      this.giveUp(client);
      throw error instanceof IncompleteReadError
        ? error
        : new IncompleteReadError(`reading retained messages failed: ${String(error)}`);
    }
  }

  private collect(client: MqttClient, topics: readonly string[]): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(new IncompleteReadError(`no sentinel within ${this.readMs} ms`)),
        this.readMs,
      );
      const onMessage = (topic: string, payload: Buffer, packet: IPublishPacket): void => {
        if (!packet.retain) return;
        if (topic !== this.sentinel) found.set(topic, payload);
        else settle();
      };
      const onClose = (): void => settle(new IncompleteReadError('the connection ended during the read'));
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        client.off('message', onMessage);
        client.off('close', onClose);
        if (error === undefined) resolve(found);
        else reject(error);
      };
      client.on('message', onMessage);
      client.on('close', onClose);
      this.subscribe(client, topics)
        .then(() => this.subscribe(client, [this.sentinel]))
        .catch((error: unknown) => settle(error instanceof Error ? error : new Error(String(error))));
    });
  }

  private async subscribe(client: MqttClient, filters: readonly string[]): Promise<void> {
    const grants = await client.subscribeAsync([...filters], { qos: 0, rh: 0, rap: false });
    const refused = refusedTopic(grants);
    if (refused !== undefined) throw new IncompleteReadError(`the broker refused to let ${refused} be read`);
  }

  private async connected(): Promise<MqttClient> {
    const waitMs = this.retryAt - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (this.closed) throw new BrokerAwayError('the reader is closed');
    try {
      const kept = await this.client;
      if (kept?.connected === true) return kept;
      // It has ended while nothing was read, as with a restart of the broker.
      kept?.end(true);
      this.client = this.open();
      return await this.client;
    } catch (error) {
      this.client = undefined;
      this.retryAt = performance.now() + this.backoff.failed();
      throw new BrokerAwayError(String(error));
    }
  }

  private giveUp(client: MqttClient): void {
    this.client = undefined;
    this.retryAt = performance.now() + this.backoff.failed();
    client.end(true);
  }

  private open(): Promise<MqttClient> {
    const client = openMqtt(this.access, {
      clientId: this.clientId,
      clean: true,
      reconnectPeriod: 0,
      resubscribe: false,
    });
    client.on('error', (error) =>
      this.logger.warn({ err: error, mqtt_client_id: this.clientId }, 'retained reader error'),
    );
    return new Promise<MqttClient>((resolve, reject) => {
      const timer = setTimeout(() => fail(`no sentinel could be published within ${this.readMs} ms`), this.readMs);
      const onClose = (): void => fail('the broker closed the connection');
      const settled = (): void => {
        clearTimeout(timer);
        client.off('close', onClose);
        this.abandon = undefined;
      };
      const fail = (why: string): void => {
        settled();
        // Before the end, which fails the publish that waits.
        reject(new Error(why));
        client.end(true);
      };
      this.abandon = fail;
      client.once('close', onClose);
      client.once('connect', () => {
        // A broker that lost what it retained has lost the sentinel too.
        client.publish(this.sentinel, 'sentinel', { qos: 1, retain: true }, (error) => {
          if (error == null) {
            settled();
            resolve(client);
          } else fail(error.message);
        });
      });
    });
  }
}
