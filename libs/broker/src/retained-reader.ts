/**
 * Reads the retained messages of exact topics. A read sends one SUBSCRIBE for its topics and, after the SUBACK, a second one
 * for the sentinel, a topic on which the service keeps a retained message. When the sentinel arrives, a topic without a
 * message counts as empty. The sentinel needs a SUBSCRIBE of its own, because MQTT does not define in which order the
 * filters of one SUBSCRIBE are served. A broker that serves subscriptions in parallel may still send a message after the
 * sentinel, so callers read again later before they take a client offline.
 * The last topics of a read are those of the control messages. If one does not come, topics without a message prove nothing.
 *
 * - R1 One read at a time, on a clean session of its own, at QoS 0: the broker queues nothing for a later read.
 * - R2 If the sentinel or a control message does not arrive in time, nothing is known: the read fails as a whole and the
 *   connection is closed.
 * - R3 Live messages are ignored: without Retain As Published only retained messages carry the retain flag.
 * - R4 Late messages of an earlier read are ignored, if the broker supports subscription identifiers.
 */
import type { IPublishPacket, MqttClient } from 'mqtt';
import { Backoff, pause, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { ControlMessages, retainOwn, sentinelRemedy } from './control-messages.js';
import { openMqtt } from './mqtt-connection.js';
import { RetainedSubscriptions, type RetainedSubscription } from './retained-subscriptions.js';

/** Limit of topics in one read: their SUBSCRIBE fits into a packet also on brokers with small limits. */
export const MAX_TOPICS_PER_READ = 200;
/** How late a broker may retain what it has delivered live: a second read after this time brings it. */
export const RETAINED_LAG_MS = 500;
/** A read fails if the sentinel has not arrived after this time. */
const READ_MS = 5000;

/** The read did not complete, so nothing is known about its topics. Read again. */
export class IncompleteReadError extends Error {
  override readonly name = 'IncompleteReadError';
}

/** The read failed whatever its topics are: there is no connection, or the broker lets nothing be read. */
export class NothingReadableError extends IncompleteReadError {}

export interface ReaderOptions {
  /** Milliseconds after which a read has failed. */
  readMs?: number;
  controls?: ControlMessages;
}

export class RetainedReader {
  private readonly readMs: number;
  private readonly controls: ControlMessages;
  private client: Promise<MqttClient> | undefined;
  private readonly subscriptions = new RetainedSubscriptions();
  /** Stops opening a connection. */
  private abortOpening: ((reason: string) => void) | undefined;
  private lastRead: Promise<unknown> = Promise.resolve();
  private readonly backoff = new Backoff(100, 2000, 5000);
  private retryAt = 0;
  private closed = false;

  constructor(
    private readonly access: BrokerAccess,
    private readonly clientId: string,
    /** A topic that no client uses. A retained message is published to it on each new connection. */
    private readonly sentinel: string,
    private readonly logger: Logger,
    { readMs = READ_MS, controls = ControlMessages.none }: ReaderOptions = {},
  ) {
    this.readMs = readMs;
    this.controls = controls;
  }

  /**
   * @returns the retained payload of each topic that has one
   * @throws IncompleteReadError
   */
  read(topics: readonly string[]): Promise<Map<string, Buffer>> {
    if (topics.length > MAX_TOPICS_PER_READ)
      throw new RangeError(`cannot read ${topics.length} topics at once: the limit is ${MAX_TOPICS_PER_READ}`);
    const read = this.lastRead.then(() => this.readNow(topics));
    this.lastRead = read.catch(() => undefined);
    return read;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.abortOpening?.('the reader is closed');
    const client = await this.client?.catch(() => undefined);
    client?.end(true);
    await this.lastRead;
  }

  private async readNow(topics: readonly string[]): Promise<Map<string, Buffer>> {
    if (topics.length === 0) return new Map();
    const client = await this.connected();
    try {
      const ofSentinel = this.subscriptions.next([this.sentinel]);
      const found = await this.collect(client, topics, ofSentinel);
      this.backoff.succeeded();
      // The second sentinel could end a later read.
      if (ofSentinel.mayComeAgain) {
        this.client = undefined;
        client.end(true);
        return found;
      }
      // It is not awaited: the next SUBSCRIBE follows it on the same connection.
      client.unsubscribe([...topics, ...this.controls.topics, this.sentinel], (error) => {
        if (error != null) this.logger.debug({ err: error }, 'could not unsubscribe after a read');
      });
      return found;
    } catch (error) {
      this.disconnect(client);
      throw error instanceof IncompleteReadError
        ? error
        : new IncompleteReadError(`reading retained messages failed: ${String(error)}`);
    }
  }

  private collect(
    client: MqttClient,
    topics: readonly string[],
    ofSentinel: RetainedSubscription,
  ): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    const missing = new Set(this.controls.topics);
    // The broker serves a session's messages in order: if its queue is full, it drops the last ones.
    const ofTopics = this.subscriptions.next([...topics, ...missing]);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => end(new IncompleteReadError(this.withoutSentinel())), this.readMs);
      let again: NodeJS.Timeout | undefined;
      let giveUp: NodeJS.Timeout | undefined;
      let [isComplete, isOver] = [false, false];
      const fail = (error: unknown): void => end(error instanceof Error ? error : new Error(String(error)));
      const askAgain = (): void => void subscribe(client, ofSentinel).catch(fail);
      const onMessage = (topic: string, payload: Buffer, packet: IPublishPacket): void => {
        if (!packet.retain) return;
        if (topic === this.sentinel) isComplete ||= ofSentinel.delivered(packet);
        else if (ofTopics.delivered(packet) && !missing.delete(topic)) found.set(topic, payload);
        if (!isComplete) return;
        if (missing.size === 0 || found.size === topics.length) end();
        else giveUp ??= setTimeout(() => end(withoutControl(found, missing)), RETAINED_LAG_MS);
      };
      const onClose = (): void => end(new IncompleteReadError('the connection ended during the read'));
      const end = (error?: Error): void => {
        isOver = true;
        clearTimeout(timer);
        clearTimeout(again);
        clearTimeout(giveUp);
        client.off('message', onMessage);
        client.off('close', onClose);
        if (error === undefined) resolve(found);
        else reject(error);
      };
      client.on('message', onMessage);
      client.on('close', onClose);
      subscribe(client, ofTopics)
        .then(() => subscribe(client, ofSentinel))
        .then(() => {
          // See `askAgain` of `RetainedSweep`.
          if (!isOver) again = setTimeout(askAgain, this.readMs / 5);
        })
        .catch(fail);
    });
  }

  /** Neither a broker that is slow, nor one that does not let the service read there, says so. */
  private withoutSentinel(): string {
    const { sentinel, readMs } = this;
    const what = `the broker did not send the message that is retained on ${sentinel} within ${readMs} ms`;
    return `${what}: if it is not slow, ${sentinelRemedy(sentinel)}`;
  }

  private async connected(): Promise<MqttClient> {
    const waitMs = this.retryAt - performance.now();
    if (waitMs > 0) await pause(waitMs);
    if (this.closed) throw new NothingReadableError('the reader is closed');
    try {
      const client = await this.client;
      if (client?.connected === true) return client;
      // It was closed between two reads, for example by a restart of the broker.
      client?.end(true);
      this.client = this.open();
      return await this.client;
    } catch (error) {
      this.client = undefined;
      this.retryAt = performance.now() + this.backoff.failed();
      const details = error instanceof Error ? error.message : String(error);
      throw new NothingReadableError(`the broker cannot be read: ${details}`);
    }
  }

  private disconnect(client: MqttClient): void {
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
    this.subscriptions.observe(client);
    client.on('error', (error) =>
      this.logger.warn({ err: error, mqtt_client_id: this.clientId }, 'retained reader error'),
    );
    return new Promise<MqttClient>((resolve, reject) => {
      const timer = setTimeout(() => fail(`the sentinel was not published within ${this.readMs} ms`), this.readMs);
      let onClosed = 'the broker closed the connection';
      const onClose = (): void => fail(onClosed);
      const cleanUp = (): void => {
        clearTimeout(timer);
        client.off('close', onClose);
        this.abortOpening = undefined;
      };
      const fail = (reason: string): void => {
        cleanUp();
        // Reject first: `end` makes the pending publish fail with another reason.
        reject(new Error(reason));
        client.end(true);
      };
      this.abortOpening = fail;
      client.once('close', onClose);
      client.once('connect', () => {
        // Some brokers do that in place of a refusal.
        onClosed += ` when a message was to be retained: if it does so each time, ${sentinelRemedy(this.sentinel)}`;
        retainOwn(client, this.sentinel, this.controls).then(
          () => {
            cleanUp();
            resolve(client);
          },
          (error: unknown) => fail(String(error)),
        );
      });
    });
  }
}

function withoutControl(found: ReadonlyMap<string, unknown>, missing: ReadonlySet<string>): IncompleteReadError {
  const topics = [...missing].join(' and ');
  return found.size === 0
    ? new NothingReadableError(
        `the broker sent nothing, not even the message that is retained on ${topics}: does it let this process read there?`,
      )
    : new IncompleteReadError(
        `the broker did not send the message that is retained on ${topics}: it dropped messages of the read. Does it limit its queues?`,
      );
}

async function subscribe(client: MqttClient, subscription: RetainedSubscription): Promise<void> {
  const refusal = await subscription.send(client);
  if (refusal !== undefined) throw new IncompleteReadError(refusal);
}
