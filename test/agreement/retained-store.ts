/**
 * An independent comparison of registry and broker: reads the retained messages by a plain subscription, without code of the
 * service, and derives from the protocol what the registry should hold.
 */
import { isDeepStrictEqual } from 'node:util';
import { connectAsync } from 'mqtt';
import { Api, type ConnectionView } from '../support/api.js';

const PREFIX = 'redhat/insights/in/';
const SENTINEL = 'spec/last';

/** Client id → retained text. */
export async function readRetained(url: string): Promise<Map<string, string>> {
  const mqtt = await connectAsync(url, { clean: true, reconnectPeriod: 0 });
  try {
    await mqtt.publishAsync(SENTINEL, 'last', { qos: 1, retain: true });
    const found = new Map<string, string>();
    const complete = new Promise<void>((resolve) => {
      mqtt.on('message', (topic, payload, { retain }) => {
        if (retain && topic === SENTINEL) resolve();
        // No client has an empty id: there the service retains its own control message.
        else if (retain && topic !== PREFIX) found.set(topic.slice(PREFIX.length), payload.toString());
      });
    });
    await mqtt.subscribeAsync([`${PREFIX}+`, SENTINEL], { qos: 0 });
    await complete;
    return found;
  } finally {
    await mqtt.endAsync();
  }
}

/** What the registry should hold: the handshake, or offline with one of these reasons; undefined allows every reason. */
type Expected = { id: string; facts: unknown } | { reasons: readonly string[] | undefined };

function expectedFor(text: string | undefined, lanes: number): Expected {
  // The message that gave the reason was removed, or a broker that was killed lost it.
  if (text === undefined) return { reasons: undefined };
  const message = JSON.parse(text) as {
    type?: string;
    message_id?: string;
    payload?: { canonical_facts?: Record<string, unknown> };
  };
  // With one lane, the reason stays `goodbye` if the retained message came after the goodbye.
  if (message.type === 'offline')
    return { reasons: lanes === 1 ? ['retained-offline', 'goodbye'] : ['retained-offline'] };
  if (message.type !== 'host-handshake') return { reasons: ['unknown'] };
  const facts = message.payload?.canonical_facts;
  if (typeof facts?.['fqdn'] !== 'string') return { reasons: ['invalid-handshake'] };
  return { id: message.message_id ?? '', facts };
}

/**
 * Describes each client for which registry and broker differ. `unconfirmed: 'allowed'`: after a restart of the broker, a
 * client with a retained handshake may be offline because it has not confirmed it.
 */
export async function differences(
  brokerUrl: string,
  gatewayUrl: string,
  ids: readonly string[],
  lanes = 1,
  unconfirmed: 'allowed' | 'wrong' = 'wrong',
): Promise<string[]> {
  return differencesFrom(await readRetained(brokerUrl), gatewayUrl, ids, lanes, unconfirmed);
}

/** The same, with retained messages that were read before. */
export async function differencesFrom(
  retained: ReadonlyMap<string, string>,
  gatewayUrl: string,
  ids: readonly string[],
  lanes: number,
  unconfirmed: 'allowed' | 'wrong' = 'wrong',
): Promise<string[]> {
  const registry = new Map((await new Api(gatewayUrl).connections()).map((one) => [one.client_id, one]));
  return [...new Set([...ids, ...retained.keys(), ...registry.keys()])].flatMap((id) => {
    const expected = expectedFor(retained.get(id), lanes);
    const found = registry.get(id);
    const isUnconfirmed = 'id' in expected && found?.offline_reason === 'unconfirmed';
    return isEqual(expected, found) || (isUnconfirmed && unconfirmed === 'allowed')
      ? []
      : [`${id}: expected ${asText(expected)}, the registry has ${asText(found)}`];
  });
}

function isEqual(expected: Expected, found: ConnectionView | undefined): boolean {
  if ('reasons' in expected) {
    // The registry does not know a client that never sent a handshake.
    if (found === undefined) return true;
    return found.state === 'offline' && (expected.reasons?.includes(found.offline_reason ?? '') ?? true);
  }
  return (
    found?.state === 'online' &&
    found.handshake_message_id === expected.id &&
    found.offline_reason === null &&
    isDeepStrictEqual(found.facts, expected.facts)
  );
}

function asText(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
