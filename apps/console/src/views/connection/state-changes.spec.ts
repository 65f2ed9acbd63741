import type { Connection, ConnectorEvent } from '@cloud-connector/client';
import { stateChanges } from './state-changes.js';

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 10, 0, second)).toISOString();
const connection = (part: Partial<Connection>): Connection =>
  ({ state: 'online', connected_at: at(30), disconnected_at: null, offline_reason: null, ...part }) as Connection;
const event = (part: Partial<ConnectorEvent>): ConnectorEvent => part as ConnectorEvent;

it('without events there is what the record knows', () => {
  expect(stateChanges(connection({}), [])).toEqual([{ state: 'online', at: at(30), reason: null }]);
  const offline = connection({ state: 'offline', disconnected_at: at(40), offline_reason: 'goodbye' });
  expect(stateChanges(offline, [])).toEqual([
    { state: 'offline', at: at(40), reason: 'goodbye' },
    { state: 'online', at: at(30), reason: null },
  ]);
});

it('an event and the record of the same change are one; older ones follow', () => {
  const events = [
    event({ type: 'message.status', at: at(35) }),
    event({ type: 'connection.online', at: at(31), changed_at: at(30) }),
    event({ type: 'connection.offline', at: at(20), reason: 'goodbye' }),
    event({ type: 'connection.online', at: at(10) }),
  ];
  expect(stateChanges(connection({}), events)).toEqual([
    { state: 'online', at: at(30), reason: null },
    { state: 'offline', at: at(20), reason: 'goodbye' },
    { state: 'online', at: at(10), reason: null },
  ]);
});

it('the record is shown if its event has not come', () => {
  const events = [event({ type: 'connection.offline', at: at(20), reason: 'goodbye' })];
  expect(stateChanges(connection({}), events).map(({ state }) => state)).toEqual(['online', 'offline']);
});
