/** How every MQTT connection of ours is opened. MQTT 5 only: the service relies on its reason codes and options. */
import { connect, type IClientOptions, type IDisconnectPacket, type ISubscriptionGrant, type MqttClient } from 'mqtt';
import { within } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';

export type { MqttClient };
type EndOptions = Partial<IDisconnectPacket>;

/**
 * Opens one connection; does not wait for it, so that handlers can be set before the first packet arrives.
 * Small exchanges would run into Nagle's algorithm, so no-delay is set on the socket. Where the client reconnects by
 * itself, each connect uses what the credentials' files hold then.
 */
export function openMqtt(access: BrokerAccess, options: IClientOptions): MqttClient {
  const always = {
    protocolVersion: 5,
    keepalive: 30,
    connectTimeout: 10_000,
    log: silent,
    // A broker that refuses one CONNECT, since it is busy or its credentials change, may take the next.
    reconnectOnConnackError: true,
  } as const;
  const client = connect(access.url, { ...always, ...access.credentials?.(), ...options });
  setNoDelay(client);
  client.on('close', () => Object.assign(client.options, access.credentials?.()));
  client.on('reconnect', () => setImmediate(() => setNoDelay(client)));
  return client;
}

/**
 * Ends a connection. MQTT.js waits for what is not acknowledged, and for the broker to close its side: both may never come,
 * and a second call of its `end` does nothing. So after a time the socket is closed.
 */
export async function endMqtt(client: MqttClient, ms: number, options?: EndOptions): Promise<void> {
  if (!(await within(ms, client.endAsync(!client.connected, options)))) client.stream.destroy();
}

/** MQTT 3.1.1 and 5: codes of a SUBACK from here on are refusals. */
const REFUSED = 0x80;

/** The first topic that the broker has refused to a subscription, if there is one. */
export function refusedTopic(granted: readonly ISubscriptionGrant[]): string | undefined {
  return granted.find(({ qos }) => qos >= REFUSED)?.topic;
}

/** MQTT.js writes several debug lines a packet; switched off, each still costs a call that looks whether it is. */
function silent(): void {
  // Says nothing.
}

function setNoDelay(client: MqttClient): void {
  const { stream } = client as { stream?: { setNoDelay?: (on: boolean) => void } };
  stream?.setNoDelay?.(true);
}
