/**
 * What a broker retains on topics that are known, as plain subscriptions read it, without code of the service. A broker may
 * drop messages of a large wildcard subscription, and may send the retained messages of one SUBSCRIBE in any order.
 */
import { connectAsync, type MqttClient } from 'mqtt';

const PREFIX = 'redhat/insights/in/';
const LAST = 'spec/last';
const TOPICS_A_READ = 200;
/** A publisher keeps to the smallest receive maximum of the brokers, and there are several publishers. */
const UNACKNOWLEDGED = 10;
const PUBLISHERS = 8;

/** @returns client id → retained text */
export async function readRetainedOf(url: string, ids: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const mqtt = await connectAsync(url, { clean: true, reconnectPeriod: 0, protocolVersion: 5 });
  let complete: () => void = () => undefined;
  mqtt.on('message', (topic, payload, { retain }) => {
    if (topic === LAST) complete();
    else if (retain) found.set(topic.slice(PREFIX.length), payload.toString());
  });
  try {
    await mqtt.publishAsync(LAST, 'last', { qos: 1, retain: true });
    for (const part of inParts(ids, TOPICS_A_READ)) {
      const topics = part.map((id) => PREFIX + id);
      const read = new Promise<void>((resolve) => (complete = resolve));
      await mqtt.subscribeAsync(topics, { qos: 0 });
      await mqtt.subscribeAsync(LAST, { qos: 0 });
      await read;
      await mqtt.unsubscribeAsync([...topics, LAST]);
    }
    return found;
  } finally {
    await mqtt.endAsync();
  }
}

/** Retains the text that `textOf` makes for each id. */
export async function retainAll(url: string, ids: readonly string[], textOf: (id: string) => string): Promise<void> {
  const shares = inParts(ids, Math.ceil(ids.length / PUBLISHERS));
  await Promise.all(
    shares.map(async (share) => {
      const mqtt = await connectAsync(url, { clean: true, reconnectPeriod: 0, protocolVersion: 5 });
      for (const part of inParts(share, UNACKNOWLEDGED)) await publish(mqtt, part, textOf);
      await mqtt.endAsync();
    }),
  );
}

async function publish(mqtt: MqttClient, ids: readonly string[], textOf: (id: string) => string): Promise<void> {
  await Promise.all(ids.map((id) => mqtt.publishAsync(PREFIX + id, textOf(id), { qos: 1, retain: true })));
}

function inParts<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
}
