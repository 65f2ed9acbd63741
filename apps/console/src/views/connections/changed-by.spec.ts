import type { Connection, ConnectionPage, ConnectorEvent } from '@cloud-connector/client';
import { byClient, changedBy } from './changed-by';

const row = (clientId: string): Connection => ({
  client_id: clientId,
  type: 'host',
  state: 'online',
  facts: {},
  handshake_message_id: 'h',
  connected_at: '2026-01-01T00:00:00.000Z',
  disconnected_at: null,
  offline_reason: null,
  last_message_at: null,
  account: null,
  shard: 1,
  held_messages: 0,
  refused_until: null,
});
const page: ConnectionPage = { data: [row('a'), row('b')], next_cursor: 'c' };
const about = { event_id: '1-2-3', id: 'x', shard: 1, at: '2026-01-02T00:00:00.000Z' };

it('an event changes the row of its client, and no other', () => {
  const offline: ConnectorEvent = { ...about, type: 'connection.offline', client_id: 'b', reason: 'unknown' };
  const after = changedBy(page, byClient([offline]));
  expect(after.data[0]).toBe(page.data[0]);
  expect(after.data[1]).toMatchObject({ state: 'offline', offline_reason: 'unknown', disconnected_at: about.at });
  const changedAt = '2026-01-03T00:00:00.000Z';
  const online: ConnectorEvent = {
    ...about,
    type: 'connection.online',
    client_id: 'b',
    changed_at: changedAt,
    connection_type: 'host',
    handshake_message_id: 'h',
  };
  expect(changedBy(after, byClient([online])).data[1]).toEqual({ ...row('b'), connected_at: changedAt });
  const both = changedBy(page, byClient([online, offline]));
  expect(both.data[1]).toMatchObject({ state: 'offline', connected_at: changedAt, disconnected_at: about.at });
});

it('events about nobody on the page, or about other things, leave the page as it is', () => {
  const goodbye: ConnectorEvent = { ...about, type: 'connection.offline', client_id: 'z', reason: 'goodbye' };
  const gap: ConnectorEvent = { ...about, type: 'gap', streams: ['state'], from: '1-1', until: '1-2', details: '' };
  expect(changedBy(page, byClient([goodbye, gap]))).toBe(page);
});
