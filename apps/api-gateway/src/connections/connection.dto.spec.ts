import fc from 'fast-check';
import type { Connection } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import {
  CONNECTION_CURSOR,
  ConnectionBody,
  ForceDisconnectBody,
  ListQuery,
  toConnectionBody,
  toFilter,
} from './connection.dto.js';

const NOW = Date.parse('2024-05-06T07:00:00Z');

function wrongIn(query: unknown): { member: string; message: string }[] {
  const outcome = ListQuery.safeParse(query);
  if (outcome.success) return [];
  return outcome.error.issues.map(({ path, message }) => ({ member: path.map(String).join('.'), message }));
}

describe('the cursor of connections', () => {
  it('decodes to the position that was encoded', () => {
    const character = fc
      .integer({ min: 0, max: 0x10_ffff - 0x800 })
      .map((code) => String.fromCodePoint(code < 0xd800 ? code : code + 0x800));
    const after = fc.string({ unit: character, maxLength: 256 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4095 }), after, (shard, id) => {
        const cursor = CONNECTION_CURSOR.encode({ shard, after: id });
        expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(ListQuery.parse({ cursor }).cursor).toEqual({ shard, after: id });
      }),
      { numRuns: 200 },
    );
  });

  it('can hold the longest client id', () => {
    for (const after of ['a'.repeat(256), '🚀'.repeat(64)]) {
      expect(ListQuery.parse({ cursor: CONNECTION_CURSOR.encode({ shard: 4095, after }) }).cursor).toEqual({
        shard: 4095,
        after,
      });
    }
  });

  const forged = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

  it.each([
    ['an empty text', ''],
    ['not base64', '!!!'],
    ['base64 of a text that is not JSON', Buffer.from('hello').toString('base64url')],
    ['a number', forged(1)],
    ['null', forged(null)],
    ['an object', forged({ shard: 1, after: 'a' })],
    ['an empty list', forged([])],
    ['a shard alone', forged([1])],
    ['a list with a member too many', forged([1, 'a', 'b'])],
    ['a shard below the first', forged([-1, 'a'])],
    ['a shard beyond the last', forged([4096, 'a'])],
    ['a shard that is no whole number', forged([1.5, 'a'])],
    ['a shard as text', forged(['1', 'a'])],
    ['a client id that is no text', forged([1, 2])],
    ['a client id that is too long', forged([1, 'a'.repeat(1025)])],
  ])('is refused if it is %s', (_, cursor) => {
    expect(wrongIn({ cursor })).toEqual([{ member: 'cursor', message: 'must be a next_cursor of an earlier page' }]);
  });

  it('is decoded or refused, whatever it holds', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String(),
          fc.json().map((text) => forged(text)),
        ),
        (cursor) => {
          const outcome = ListQuery.safeParse({ cursor });
          if (outcome.success) expect(outcome.data.cursor?.shard).toBeLessThanOrEqual(4095);
          else expect(outcome.error.issues.map(({ path }) => path)).toEqual([['cursor']]);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('ListQuery', () => {
  it('lists the first hundred connections by default', () => {
    const query = ListQuery.parse({});
    expect(query.limit).toBe(100);
    expect(query.cursor).toBeUndefined();
    expect(toFilter(query)).toEqual({ facts: {} });
  });

  it('filters by state, type and each searchable fact', () => {
    const facts = {
      insights_id: 'i',
      machine_id: 'm',
      bios_uuid: 'b',
      subscription_manager_id: 's',
      fqdn: 'f',
      ip_address: '10.0.0.1',
      mac_address: '52:54:00:66:ea:9a',
    };
    const query = ListQuery.parse({ state: 'online', type: 'host', limit: '7', ...facts });
    expect(query.limit).toBe(7);
    expect(toFilter(query)).toEqual({ state: 'online', type: 'host', facts });
  });

  it.each(['1', '1000'])('accepts the limit %s', (limit) => {
    expect(ListQuery.parse({ limit }).limit).toBe(Number(limit));
  });

  it.each(['0', '1001', '-1', '1.5', 'many', '', 'Infinity', 'NaN', '1,2'])('refuses the limit %j', (limit) => {
    const wrong = wrongIn({ limit });
    expect(wrong).toContainEqual({ member: 'limit', message: 'must be a whole number from 1 to 1000' });
    expect(new Set(wrong.map(({ message }) => message)).size).toBe(1);
  });

  it.each([
    ['another state', { state: 'away' }, 'state'],
    ['a state in capitals', { state: 'ONLINE' }, 'state'],
    ['two states', { state: ['online', 'offline'] }, 'state'],
    ['another type', { type: 'device' }, 'type'],
    ['an empty fact', { fqdn: '' }, 'fqdn'],
    ['a fact too long', { fqdn: 'x'.repeat(1025) }, 'fqdn'],
    ['a fact twice', { ip_address: ['10.0.0.1', '10.0.0.2'] }, 'ip_address'],
    ['a cursor twice', { cursor: ['a', 'b'] }, 'cursor'],
  ])('refuses a query with %s', (_, query, member) => {
    expect(wrongIn(query).map((wrong) => wrong.member)).toEqual([member]);
  });

  it('refuses unknown parameters, such as the plural of a fact', () => {
    const outcome = ListQuery.safeParse({ ip_addresses: '10.0.0.1', page: '2' });
    expect(outcome.error?.issues).toMatchObject([{ keys: ['ip_addresses', 'page'], path: [] }]);
  });
});

describe('ForceDisconnectBody', () => {
  it.each(['PT30S', 'P1D', 'never', '2020-01-01T00:00:00Z'])('accepts %s as the end of a refusal', (text) => {
    expect(ForceDisconnectBody.parse({ reconnect_after: text })).toEqual({ reconnect_after: text });
  });

  it.each(['', 'soon', '30', 'P1Y', 'P9999W', '9999-01-01T00:00:00Z'])(
    'refuses %j as the end of a refusal and names the three forms',
    (text) => {
      const [issue] = ForceDisconnectBody.safeParse({ reconnect_after: text }).error?.issues ?? [];
      expect(issue?.path).toEqual(['reconnect_after']);
      for (const form of ['PT30S', 'RFC 3339', '"never"']) expect(issue?.message).toContain(form);
    },
  );

  it.each([
    ['no members', {}],
    ['a number', { reconnect_after: 30 }],
    ['a member too many', { reconnect_after: 'never', reason: 'x' }],
    ['a text too long', { reconnect_after: `PT${'0'.repeat(63)}1S` }],
  ])('refuses a force-disconnect with %s', (_, body) => {
    expect(ForceDisconnectBody.safeParse(body).success).toBe(false);
  });
});

describe('toConnectionBody', () => {
  const connection = hostConnection('host-1', {
    facts: { fqdn: 'host-1', extra: [1] },
    handshake_message_id: 'h-1',
    status_topic: 'redhat/insights/in/{clientId}',
    connected_at: NOW - 2000,
    last_message_at: NOW - 1000,
  });

  it('shows an online connection in the documented shape', () => {
    const body = toConnectionBody(connection, 7, 2, NOW);
    expect(body).toEqual({
      client_id: 'host-1',
      type: 'host',
      state: 'online',
      facts: { fqdn: 'host-1', extra: [1] },
      handshake_message_id: 'h-1',
      connected_at: '2024-05-06T06:59:58.000Z',
      disconnected_at: null,
      offline_reason: null,
      last_message_at: '2024-05-06T06:59:59.000Z',
      account: null,
      shard: 7,
      held_messages: 2,
      refused_until: null,
    });
    expect(ConnectionBody.parse(body)).toEqual(body);
  });

  it('shows when and why a connection went offline', () => {
    const away: Connection = { ...connection, state: 'offline', disconnected_at: NOW, offline_reason: 'goodbye' };
    const body = toConnectionBody(away, 0, 0, NOW);
    expect(body).toMatchObject({
      state: 'offline',
      disconnected_at: '2024-05-06T07:00:00.000Z',
      offline_reason: 'goodbye',
    });
    expect(ConnectionBody.parse(body)).toEqual(body);
  });

  it.each([
    ['never' as const, 'never'],
    [NOW + 1, '2024-05-06T07:00:00.001Z'],
    [NOW, null],
    [NOW - 1, null],
    [null, null],
  ])('shows a refusal until %s as %s', (until, shown) => {
    expect(toConnectionBody({ ...connection, refused_until: until }, 0, 0, NOW).refused_until).toBe(shown);
  });
});
