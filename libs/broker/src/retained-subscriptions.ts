/**
 * Subscribes in order to read retained messages, and says which SUBSCRIBE brought a message. Each SUBSCRIBE has a subscription
 * identifier of its own, which the broker sends with the messages. So a message of an earlier read that comes late is not taken
 * for one of the present read: its payload may be old, and a late sentinel would end a read that is not complete.
 *
 * A message without an identifier counts for every SUBSCRIBE. Some brokers support no identifiers, and mochi supports them and
 * sends them only with live messages.
 */
import type { IPublishPacket, MqttClient } from 'mqtt';
import { refusalOf, subscribeMqtt } from './mqtt-connection.js';

/** MQTT limits identifiers to four bytes of seven bits. When they are used up, the first ones have long been free again. */
const LARGEST = 0x0fff_ffff;

export interface RetainedSubscription {
  /** Whether its SUBSCRIBE has been sent more than once. */
  readonly isRepeated: boolean;
  /** Whether its messages may still come a second time, and could not be distinguished from those of a later SUBSCRIBE. */
  readonly mayComeAgain: boolean;
  /** Whether the message came by this subscription. */
  delivered(packet: IPublishPacket): boolean;
  /**
   * Sends the SUBSCRIBE.
   * @returns why the broker refused it, or undefined
   */
  send(client: MqttClient): Promise<string | undefined>;
}

/** The subscriptions of one MQTT client. */
export class RetainedSubscriptions {
  private last = 0;
  private isSupported = true;
  /** Whether the broker has sent an identifier with a retained message, so that late messages can be recognised. */
  private isReturned = false;

  /** To be called before the client is connected: the CONNACK says whether the broker supports identifiers. */
  observe(client: MqttClient): void {
    client.on('connect', ({ properties }) => {
      this.isSupported = properties?.subscriptionIdentifiersAvailable !== false;
    });
  }

  next(filters: readonly string[]): RetainedSubscription {
    const own = (this.last = (this.last % LARGEST) + 1);
    const isReturned = (): boolean => this.isReturned;
    let sent = 0;
    return {
      get isRepeated() {
        return sent > 1;
      },
      get mayComeAgain() {
        return sent > 1 && !isReturned();
      },
      delivered: ({ properties }) => {
        // A message that matches several subscriptions may have the identifiers of all of them.
        const ids: number | number[] | undefined = properties?.subscriptionIdentifier;
        if (ids === undefined) return true;
        this.isReturned = true;
        return typeof ids === 'number' ? ids === own : ids.includes(own);
      },
      send: async (client) => {
        sent++;
        const properties = this.isSupported ? { properties: { subscriptionIdentifier: own } } : {};
        return refusalOf(await subscribeMqtt(client, filters, { qos: 0, rh: 0, rap: false, ...properties }));
      },
    };
  }
}
