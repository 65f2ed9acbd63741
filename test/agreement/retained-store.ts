/**
 * An independent look: what a broker retains, read by a plain subscription with nothing of ours, and what follows from it
 * for the registry by the protocol.
 */
import { isDeepStrictEqual } from 'node:util';
import { connectAsync } from 'mqtt';
import { Api, type ConnectionView } from '../support/api.js';

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

/** What the registry should hold: the handshake, or the reasons it may give for none, undefined for whichever. */
type Wanted = { id: string; facts: unknown } | { reasons: readonly string[] | undefined };

function wanted(text: string | undefined, lanes: number): Wanted {
  // The reason was told by a message that is gone: removed, or lost by a broker that was killed without saving.
  if (text === undefined) return { reasons: undefined };
  const message = JSON.parse(text) as {
    type?: string;
    message_id?: string;
    payload?: { canonical_facts?: Record<string, unknown> };
  };
  // With one lane a goodbye stands as the reason if what is retained came after it.
  if (message.type === 'offline')
    return { reasons: lanes === 1 ? ['retained-offline', 'goodbye'] : ['retained-offline'] };
  if (message.type !== 'host-handshake') return { reasons: ['unknown'] };
  const facts = message.payload?.canonical_facts;
  if (typeof facts?.['fqdn'] !== 'string') return { reasons: ['invalid-handshake'] };
  return { id: message.message_id ?? '', facts };
}

/**
 * Every client about which registry and broker differ, with both sides; empty when they agree. `unconfirmed`: the broker was
 * restarted, and a client whose handshake is retained may be offline for not having confirmed it.
 */
export async function differences(
  brokerUrl: string,
  gatewayUrl: string,
  ids: readonly string[],
  lanes = 1,
  unconfirmed: 'allowed' | 'wrong' = 'wrong',
): Promise<string[]> {
  const retained = await readRetained(brokerUrl);
  const registry = new Map((await new Api(gatewayUrl).connections()).map((one) => [one.client_id, one]));
  return [...new Set([...ids, ...retained.keys(), ...registry.keys()])].flatMap((id) => {
    const should = wanted(retained.get(id), lanes);
    const held = registry.get(id);
    const isUnconfirmed = 'id' in should && held?.offline_reason === 'unconfirmed';
    return agree(should, held) || (isUnconfirmed && unconfirmed === 'allowed')
      ? []
      : [`${id}: the broker says ${brief(should)}, the registry ${brief(held)}`];
  });
}

function agree(should: Wanted, held: ConnectionView | undefined): boolean {
  if ('reasons' in should) {
    // A client that never registered is not known.
    if (held === undefined) return true;
    return held.state === 'offline' && (should.reasons?.includes(held.offline_reason ?? '') ?? true);
  }
  return (
    held?.state === 'online' &&
    held.handshake_message_id === should.id &&
    held.offline_reason === null &&
    isDeepStrictEqual(held.facts, should.facts)
  );
}

function brief(about: unknown): string {
  return about === undefined ? 'nothing' : JSON.stringify(about);
}
