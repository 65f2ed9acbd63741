/** Messages of clients for tests: one valid example of each type, and generators of valid and arbitrary text. */
import fc from 'fast-check';
import { INBOUND_SCHEMAS, type Inbound } from '@app/protocol';
import { character } from './unicode.js';

const ENVELOPE = { message_id: 'm-1', version: 1, sent: '2020-12-04T17:22:24+00:00' };
export const HOST = { ...ENVELOPE, type: 'host-handshake', payload: { canonical_facts: { fqdn: 'host-1' } } };
export const PROXY = {
  ...ENVELOPE,
  type: 'proxy-handshake',
  payload: { catalog_service_facts: { source_type: 'tower', application_type: 'catalog' } },
};
export const OFFLINE = { ...ENVELOPE, type: 'offline' };
export const MESSAGE_ERROR = {
  ...ENVELOPE,
  type: 'message-error',
  in_response_to: 'm-0',
  payload: { details: 'no disk' },
};
export const MESSAGE_RESPONSE = {
  ...ENVELOPE,
  type: 'message-response',
  in_response_to: 'm-0',
  payload: { pong: [1, null] },
};
export const MESSAGE_PROGRESS = {
  ...ENVELOPE,
  type: 'message-progress',
  in_response_to: 'm-0',
  payload: { percent: 40, details: 'copying' },
};
export const CLIENT_MESSAGE = { ...ENVELOPE, type: 'message', directive: 'demo:alert', payload: { disk: 'full' } };

/** Arrays nested as deep as `levels`. */
export function arrays(levels: number): unknown {
  let value: unknown = [];
  for (let i = 1; i < levels; i++) value = [value];
  return value;
}

/** Valid messages of every type, with members that no schema knows at every level that allows them. */
export function validEnvelope(): fc.Arbitrary<Record<string, unknown>> {
  const text = fc.string({ unit: character, maxLength: 20 });
  const name = fc.string({ unit: character, minLength: 1, maxLength: 20 });
  const id = fc.oneof(fc.uuid(), fc.string({ minLength: 1, maxLength: 128 }), name);
  const sent = fc
    .date({ noInvalidDate: true, min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z') })
    .chain((date) =>
      fc.constantFrom('Z', '+00:00', '-11:30', '+14:00').map((offset) => date.toISOString().replace('Z', offset)),
    );
  const extra = fc.dictionary(
    fc.oneof(
      fc.constantFrom('__proto__', 'constructor', 'toString', 'extra'),
      text.map((key) => `x${key}`),
    ),
    fc.jsonValue({ maxDepth: 3 }),
    { maxKeys: 3 },
  );
  const withExtra = (members: fc.Arbitrary<object>): fc.Arbitrary<Record<string, unknown>> =>
    fc.tuple(extra, members).map(([unknown, known]) => ({ ...unknown, ...known }));
  const canonicalFacts = withExtra(
    fc
      .record(
        {
          insights_id: text,
          machine_id: text,
          bios_uuid: text,
          subscription_manager_id: text,
          fqdn: text,
          ip_addresses: fc.array(text, { maxLength: 3 }),
          mac_addresses: fc.array(text, { maxLength: 3 }),
        },
        { requiredKeys: [] },
      )
      .filter((facts) => Object.keys(facts).length > 0),
  );
  const serviceFacts = withExtra(fc.record({ source_type: name, application_type: name }));
  const envelope = { message_id: id, version: fc.constant(1), sent };
  return fc.oneof(
    withExtra(
      fc.record({
        type: fc.constant('host-handshake'),
        ...envelope,
        payload: withExtra(fc.record({ canonical_facts: canonicalFacts })),
      }),
    ),
    withExtra(
      fc.record({
        type: fc.constant('proxy-handshake'),
        ...envelope,
        payload: withExtra(fc.record({ catalog_service_facts: serviceFacts })),
      }),
    ),
    withExtra(fc.record({ type: fc.constant('offline'), ...envelope })),
    withExtra(
      fc.record({
        type: fc.constant('message-error'),
        ...envelope,
        in_response_to: id,
        payload: withExtra(fc.record({ details: text })),
      }),
    ),
    withExtra(
      fc.record(
        { type: fc.constant('message-response'), ...envelope, in_response_to: id, payload: fc.jsonValue() },
        { requiredKeys: ['type', 'message_id', 'version', 'sent', 'in_response_to'] },
      ),
    ),
    withExtra(
      fc.record({
        type: fc.constant('message-progress'),
        ...envelope,
        in_response_to: id,
        payload: withExtra(
          fc.oneof(
            fc.record({ percent: fc.double({ min: 0, max: 100, noNaN: true }), details: text }),
            fc.record({ details: text }),
          ),
        ),
      }),
    ),
    withExtra(
      fc.record(
        { type: fc.constant('message'), ...envelope, directive: name, payload: fc.jsonValue(), in_response_to: id },
        { requiredKeys: ['type', 'message_id', 'version', 'sent', 'directive'] },
      ),
    ),
  );
}

/** Text of every kind that a broker can deliver; most of it is nearly valid. */
export function anyText(): fc.Arbitrary<string> {
  const units = fc.array(fc.nat({ max: 0xffff }), { maxLength: 50 }).map((codes) => String.fromCharCode(...codes));
  const bytes = fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array).toString('latin1'));
  const valid = validEnvelope();
  const types = Object.keys(INBOUND_SCHEMAS) as Inbound['type'][];
  const member = fc.constantFrom('type', 'message_id', 'version', 'sent', 'payload', 'in_response_to', '__proto__');
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(...types),
    units,
    fc.integer({ min: 1, max: 60 }).map(arrays),
    fc.constantFrom(1e308, -0, 2 ** 53, {}, [], { canonical_facts: { __proto__: null } }),
  );
  const replaced = fc
    .tuple(valid, member, odd)
    .map(([envelope, key, value]) => JSON.stringify({ ...envelope, ...Object.fromEntries([[key, value]]) }));
  const nested = fc
    .tuple(valid, fc.constantFrom('canonical_facts', 'catalog_service_facts', 'details'), odd)
    .map(([envelope, key, value]) => JSON.stringify({ ...envelope, payload: Object.fromEntries([[key, value]]) }));
  const removed = fc
    .tuple(valid, member)
    .map(([envelope, key]) =>
      JSON.stringify(Object.fromEntries(Object.entries(envelope).filter(([name]) => name !== key))),
    );
  const spliced = fc
    .tuple(
      valid,
      fc.nat(),
      fc.nat({ max: 5 }),
      fc.oneof(units, fc.constantFrom('"', '{', ']', ',', '1e999', '\\ud800')),
    )
    .map(([envelope, at, gone, put]) => {
      const text = JSON.stringify(envelope);
      const from = at % text.length;
      return text.slice(0, from) + put + text.slice(from + gone);
    });
  return fc.oneof(
    fc.string(),
    fc.string({ unit: character }),
    units,
    bytes,
    fc.json(),
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.integer({ min: 1, max: 3000 }).map((levels) => JSON.stringify(arrays(levels))),
    valid.map((envelope) => JSON.stringify(envelope)),
    replaced,
    nested,
    removed,
    spliced,
  );
}
