/** Opens and ends the MQTT connections of the service. They use MQTT 5, because the service needs its reason codes and options. */
import {
  connect,
  type ErrorWithSubackPacket,
  type IClientOptions,
  type IClientSubscribeOptions,
  type IDisconnectPacket,
  type ISubscriptionGrant,
  type MqttClient,
} from 'mqtt';
import { writeToStream } from 'mqtt-packet';
import { closeWithin } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';

export type { MqttClient };
type EndOptions = Partial<IDisconnectPacket>;

// Otherwise the first packet makes a buffer for each of 65,536 numbers, which stay for good and take 6 MiB.
writeToStream.cacheNumbers = false;

/** A broker that is frozen is noticed after 5 to 15 s, and the connection closed. */
export const KEEP_ALIVE_SECONDS = 10;

/** Shortest time between two log lines about errors of a connection: if the broker refuses it, each attempt brings one. */
export const ERROR_EVERY_MS = 10_000;

/**
 * Begins to connect and returns at once, so that the caller can set handlers before the first packet arrives. If the client
 * reconnects, it reads the credentials again.
 */
export function openMqtt(access: BrokerAccess, options: IClientOptions): MqttClient {
  const defaults = {
    protocolVersion: 5,
    keepalive: access.keepAliveSeconds ?? KEEP_ALIVE_SECONDS,
    connectTimeout: 10_000,
    log: silent,
    // A broker that refuses one CONNECT, because it is busy or reloads its users, may accept the next one.
    reconnectOnConnackError: true,
  } as const;
  const client = connect(access.url, { ...defaults, ...access.credentials?.(), ...options });
  setNoDelay(client);
  client.on('close', () => Object.assign(client.options, access.credentials?.()));
  client.on('reconnect', () => setImmediate(() => setNoDelay(client)));
  return client;
}

/**
 * MQTT.js closes the connection if the reply to a ping is late, and counts no PUBLISH as a sign of life. But the reply waits
 * behind the packets that are still to be read, so a connection that is read slowly, or not at all, would be lost. In that case the
 * next ping is sent, so that the broker receives one in time.
 * @param isBehind whether packets wait to be read, or have come within this many milliseconds
 */
export function keepSlowReaderAlive(client: MqttClient, isBehind: (withinMs: number) => boolean): void {
  const giveUp = client.onKeepaliveTimeout.bind(client);
  client.onKeepaliveTimeout = () => {
    if (isBehind(client.keepalive * 500)) {
      client.sendPing();
      client.reschedulePing(true);
    } else giveUp();
  };
}

/**
 * Ends a connection. MQTT.js waits for missing PUBACKs and for the broker to close its side. Neither may come, and a second
 * call of its `end` does nothing, so the socket is destroyed after `timeoutMs`.
 */
export async function endMqtt(client: MqttClient, timeoutMs: number, options?: EndOptions): Promise<void> {
  await closeWithin(
    timeoutMs,
    () => client.endAsync(!client.connected, options),
    () => client.stream.destroy(),
  );
}

/** The session expiry interval of a session that never expires. */
export const NEVER_EXPIRES = 0xffff_ffff;

/** SUBACK codes from here on are refusals, in MQTT 3.1.1 and 5. */
export const REFUSED = 0x80;

/**
 * Subscribes, and returns the reason code of each filter as its `qos`. MQTT.js rejects if the broker refuses one of the filters,
 * and does not say which: the reason codes are in its error.
 */
export async function subscribeMqtt(
  client: MqttClient,
  filters: readonly string[],
  options: IClientSubscribeOptions,
): Promise<ISubscriptionGrant[]> {
  try {
    return await client.subscribeAsync([...filters], options);
  } catch (error) {
    // Its packet is missing if no SUBACK came.
    const { packet } = error as Partial<ErrorWithSubackPacket>;
    const codes: readonly unknown[] = packet?.granted ?? [];
    if (codes.length !== filters.length) throw error;
    return filters.map((topic, i) => ({ topic, qos: Number(codes[i]) as ISubscriptionGrant['qos'] }));
  }
}

/** The first topic whose subscription the broker refused, if any. */
export function refusedTopic(granted: readonly ISubscriptionGrant[]): string | undefined {
  return granted.find(({ qos }) => qos >= REFUSED)?.topic;
}

/** What the broker refused, and the remedy; undefined if it granted every subscription. */
export function refusalOf(granted: readonly ISubscriptionGrant[]): string | undefined {
  const refused = refusedTopic(granted);
  return refused && `the broker refused the subscription to ${refused}: allow it in its access control`;
}

/** MQTT.js writes several debug lines for each packet. If debugging is off, each still costs a check; this costs none. */
function silent(): void {
  // Writes nothing.
}

/** Nagle's algorithm would delay small exchanges. */
function setNoDelay(client: MqttClient): void {
  const { stream } = client as { stream?: { setNoDelay?: (on: boolean) => void } };
  stream?.setNoDelay?.(true);
}
