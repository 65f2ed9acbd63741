/** An independent look: what a broker retains, read by a plain subscription with nothing of ours. */
import { connectAsync } from 'mqtt';
import { Api } from '../support/api.js';

const PREFIX = 'redhat/insights/in/';
const LAST = 'spec/last';

/** Client id → retained text. */
export async function readRetained(url: string): Promise<Map<string, string>> {
  const mqtt = await connectAsync(url, { clean: true, reconnectPeriod: 0 });
  try {
    await mqtt.publishAsync(LAST, 'last', { qos: 1, retain: true });
    const found = new Map<string, string>();
    const complete = new Promise<void>((resolve) => {
      mqtt.on('message', (topic, payload, { retain }) => {
        if (retain && topic === LAST) resolve();
        else if (retain) found.set(topic.slice(PREFIX.length), payload.toString());
      });
    });
    await mqtt.subscribeAsync([`${PREFIX}+`, LAST], { qos: 0 });
    await complete;
    return found;
  } finally {
    await mqtt.endAsync();
  }
}

/** Every client about which registry and broker differ, with both sides; empty when they agree. */
export async function differences(brokerUrl: string, gatewayUrl: string, ids: readonly string[]): Promise<string[]> {
  const retained = await readRetained(brokerUrl);
  const registry = new Map<string, string>();
  for (const one of await new Api(gatewayUrl).connections()) {
    registry.set(one.client_id, one.state === 'online' ? one.handshake_message_id : 'offline');
  }
  return [...new Set([...ids, ...retained.keys(), ...registry.keys()])].flatMap((id) => {
    const text = retained.get(id);
    const message = text === undefined ? undefined : (JSON.parse(text) as { type: string; message_id: string });
    const wanted = message?.type === 'host-handshake' ? message.message_id : 'offline';
    const held = registry.get(id) ?? 'offline';
    return wanted === held ? [] : [`${id}: the broker says ${wanted}, the registry ${held}`];
  });
}
