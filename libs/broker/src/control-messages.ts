/**
 * Retained messages of the service on topics that the clients' topics have as neighbours, such as `redhat/insights/in/`, below
 * the same filter and the same rights. A read that does not bring them proves no absence: the broker dropped messages of the
 * read because its queue was full, or it does not let this process read the topics of clients and does not say so.
 */
import type { MqttClient } from 'mqtt';
import type { Logger } from '@app/platform';
import { refusedBy } from './publish-outcome.js';

/** Some brokers end the connection instead of refusing a message. A connection may also end by chance. */
const MOST_CLOSES = 3;

/** Retains the messages of the service that reads ask for. A broker that lost its retained messages has lost these too. */
export async function retainOwn(client: MqttClient, sentinel: string, controls: ControlMessages): Promise<void> {
  try {
    await client.publishAsync(sentinel, 'sentinel', { qos: 1, retain: true });
  } catch (error) {
    const outcome = refusedBy(error as Error);
    if (outcome.kind !== 'refused' || !outcome.permanent) throw error;
    const what = `the broker refused to retain a message on ${sentinel} (${outcome.details})`;
    throw new Error(`${what}: ${sentinelRemedy(sentinel)}`, { cause: error });
  }
  await controls.publish(client);
}

/** What an operator has to do if the broker does not let the service use the sentinel: without it no read ends. */
export function sentinelRemedy(sentinel: string): string {
  return `allow this user to publish and subscribe to ${sentinel}, also through $share/, in its access control`;
}

export class ControlMessages {
  static readonly none = new ControlMessages([], '', { warn: () => undefined });
  private readonly allowed: Set<string>;
  private closes = 0;

  constructor(
    topics: readonly string[],
    private readonly text: string,
    private readonly logger: Pick<Logger, 'warn'>,
  ) {
    this.allowed = new Set(topics);
  }

  /** The topics of those that a read has to bring: the broker has not refused them. */
  get topics(): ReadonlySet<string> {
    return this.allowed;
  }

  /**
   * To be called on each new connection that reads.
   * @throws Error also if the broker refuses one: Mosquitto 2.0.11 ends the connection then. Another connection goes without it.
   */
  async publish(client: MqttClient): Promise<void> {
    for (const topic of [...this.allowed]) {
      // Nothing ends the call if the connection ends first.
      const onClose = (): void => this.interrupted(topic);
      client.once('close', onClose);
      try {
        await client.publishAsync(topic, this.text, { qos: 1, retain: true });
        this.closes = 0;
      } catch (error) {
        const outcome = refusedBy(error as Error);
        if (outcome.kind === 'refused' && outcome.permanent) this.giveUp(topic, outcome.details);
        throw error;
      } finally {
        client.off('close', onClose);
      }
    }
  }

  private interrupted(topic: string): void {
    if (++this.closes >= MOST_CLOSES) this.giveUp(topic, 'the broker ends the connection');
  }

  private giveUp(topic: string, details: string): void {
    this.allowed.delete(topic);
    this.logger.warn(
      { topic, details },
      'the broker does not let this process retain a message on this topic: reads cannot detect that the broker dropped ' +
        'messages, or that this process may not read; allow the topic in its access control',
    );
  }
}
