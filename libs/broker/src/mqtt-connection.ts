/** How every MQTT connection of ours is opened. MQTT 5 only: the service relies on its reason codes and options. */
import { connect, type IClientOptions, type MqttClient } from 'mqtt';

export type { MqttClient };

/**
 * Opens one connection; does not wait for it, so that handlers can be set before the first packet arrives.
 * Small exchanges would run into Nagle's algorithm, so no-delay is set on the socket.
 */
export function openMqtt(url: string, options: IClientOptions): MqttClient {
  const client = connect(url, { protocolVersion: 5, keepalive: 30, connectTimeout: 10_000, log: silent, ...options });
  setNoDelay(client);
  client.on('reconnect', () => setImmediate(() => setNoDelay(client)));
  return client;
}

/** MQTT.js writes several debug lines a packet; switched off, each still costs a call that looks whether it is. */
function silent(): void {
  // Says nothing.
}

function setNoDelay(client: MqttClient): void {
  const { stream } = client as { stream?: { setNoDelay?: (on: boolean) => void } };
  stream?.setNoDelay?.(true);
}
