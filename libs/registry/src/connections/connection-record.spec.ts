import fc from 'fast-check';
import { DEFAULT_IN_TOPIC } from '@app/protocol';
import { hostConnection } from '../../../../test/support/connections.js';
import type { Connection } from './connection.js';
import { decodeConnection, encodeConnection } from './connection-record.js';

const time = fc.integer({ min: 1, max: 2e12 });
const text = fc.string({ unit: 'grapheme' });
const id = fc.option(text, { nil: null });
const account = fc.record({ waiting: fc.constant([]), bytes: fc.nat(), is_late: fc.boolean() });

/** Any connection; each member has its usual value at times. */
const connections: fc.Arbitrary<Connection> = fc
  .record({
    client_id: text,
    type: fc.constantFrom('host', 'proxy'),
    state: fc.constantFrom('online', 'offline'),
    facts: fc.dictionary(text, fc.jsonValue(), { noNullPrototype: true }),
    handshake_message_id: text,
    status_topic: fc.oneof(fc.constant(DEFAULT_IN_TOPIC), text),
    connected_at: time,
    disconnected_at: fc.option(time, { nil: null }),
    offline_reason: fc.constantFrom('goodbye', null),
    last_message_at: time,
    refused_until: fc.oneof(time, fc.constantFrom('never', null)),
    refused_handshake: id,
    unconfirmed_handshake: id,
    superseded_handshakes: fc.array(text, { maxLength: 3 }),
    dead_letter_digest: id,
    last_live_handshake_at: fc.oneof(fc.constant(0), time),
    lane: fc.option(fc.nat(), { nil: null }),
    last_event_at: fc.option(time, { nil: null }),
    coalesced: fc.constantFrom(null, { since: 1, due: 2, changes: 3, emitted_state: 'online' as const }),
    account: id,
  })
  .chain((connection) =>
    fc
      .record(
        {
          applied_messages: fc.string({ minLength: 1 }),
          force_disconnect: fc.record({ reconnect_after: text, at: time }),
          account_asked: account,
        },
        { requiredKeys: [] },
      )
      .map((more) => ({ ...connection, ...more })),
  );

describe('the record of a connection', () => {
  it('is read back as it was written, whatever its members are', () => {
    fc.assert(
      fc.property(connections, (connection) => {
        const read = decodeConnection(connection.client_id, encodeConnection(connection));
        expect(JSON.stringify(read?.facts)).toBe(JSON.stringify(connection.facts));
        expect({ ...read, facts: {} }).toEqual({ ...connection, facts: {} });
      }),
    );
  });

  it('of a host that is online has its facts, the id of its handshake and its times alone', () => {
    const connection = hostConnection('a', {
      facts: { fqdn: 'x' },
      status_topic: DEFAULT_IN_TOPIC,
      connected_at: 1000,
      last_message_at: 1000,
      last_live_handshake_at: 1000,
      last_event_at: 1010,
    });
    expect(encodeConnection(connection)).toBe('{"f":{"fqdn":"x"},"h":"m1","c":1000,"m":0,"l":0,"e":10,"n":0}');
  });

  it.each(['', '{broken', '"a text"', '[]', 'null', '{}', '{"f":{}}', '{"c":1}', '{"f":null,"c":1}'])(
    'is unreadable if it is %s',
    (unreadable) => {
      expect(decodeConnection('a', unreadable)).toBeUndefined();
    },
  );

  it('leaves out members that this release does not know', () => {
    const read = decodeConnection('a', '{"f":{},"h":"m1","c":5,"m":1,"later":true,"__proto__":{"x":1}}');
    expect(read).toMatchObject({ client_id: 'a', connected_at: 5, last_message_at: 6 });
    expect(read).not.toHaveProperty('later');
    expect(read).not.toHaveProperty('x');
  });
});
