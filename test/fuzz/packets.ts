/** What a client can publish that means well, is broken, or means harm. */
import fc from 'fast-check';
import { hostileString, hostileText, hostileValue } from './hostile.js';

export interface Packet {
  /** Index of the client among those that publish. */
  client: number;
  /** The last level of the topic; undefined for the client's own id. */
  level: string | undefined;
  retain: boolean;
  payload: Buffer;
}

const envelope = {
  message_id: fc.oneof(fc.uuid(), hostileString),
  version: fc.constant(1),
  sent: fc.constantFrom('2026-01-02T03:04:05Z', '1970-01-01T00:00:00+00:00', '9999-12-31T23:59:59.999-12:00'),
};

const facts = fc.record(
  {
    insights_id: fc.uuid(),
    fqdn: hostileString,
    ip_addresses: fc.array(fc.oneof(fc.ipV4(), hostileString), { maxLength: 3 }),
    extra: hostileValue,
  },
  { requiredKeys: ['insights_id'] },
);

const message: fc.Arbitrary<object> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      ...envelope,
      type: fc.constant('host-handshake'),
      payload: fc.record({ canonical_facts: facts }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...envelope,
      type: fc.constant('proxy-handshake'),
      payload: fc.record({
        catalog_service_facts: fc.record({ source_type: fc.constant('a'), application_type: hostileString }),
      }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ ...envelope, type: fc.constant('offline') }) },
  {
    weight: 1,
    arbitrary: fc.record({
      ...envelope,
      type: fc.constant('message-error'),
      in_response_to: fc.oneof(fc.uuid(), hostileString),
      payload: fc.record({ details: hostileString }),
    }),
  },
);

/** One member replaced, added or taken away. */
const broken = fc
  .record({ message, name: hostileString, value: hostileValue, at: fc.nat(10), how: fc.nat(2) })
  .map(({ message: base, name, value, at, how }) => {
    const entries = Object.entries(base);
    const hit = at % entries.length;
    if (how === 0) return Object.fromEntries([...entries, [name, value]]);
    if (how === 1) return Object.fromEntries(entries.filter((_, i) => i !== hit));
    return Object.fromEntries(entries.map(([key, old]: [string, unknown], i) => [key, i === hit ? value : old]));
  });

const payload: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: message.map((value) => Buffer.from(JSON.stringify(value))) },
  { weight: 3, arbitrary: broken.map((value) => Buffer.from(JSON.stringify(value))) },
  { weight: 2, arbitrary: hostileText.map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
);

/** MQTT forbids wildcards and lone surrogates in a topic, and Mosquitto ends a connection for control and unassigned characters. */
const level = hostileString.map((text) => text.toWellFormed().replace(/[+#\p{Cc}\p{Cn}]/gu, ''));

export function packets(clients: number): fc.Arbitrary<Packet> {
  return fc.record({
    client: fc.nat(clients - 1),
    level: fc.option(level, { nil: undefined, freq: 8 }),
    retain: fc.boolean(),
    payload,
  });
}
