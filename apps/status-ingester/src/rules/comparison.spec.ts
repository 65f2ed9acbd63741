import { hostConnection } from '../../../../test/support/connections.js';
import { digestOf } from './retained-state.js';
import { differs } from './comparison.js';

const OWN = 'in/{clientId}';
const OTHER = 'status/{clientId}';

function handshake(message_id: string): string {
  const payload = { canonical_facts: { fqdn: 'host-1' } };
  return JSON.stringify({ type: 'host-handshake', message_id, version: 1, sent: '2020-12-04T17:22:24Z', payload });
}
const OFFLINE = JSON.stringify({ type: 'offline', message_id: 'will', version: 1, sent: '2020-12-04T17:22:24Z' });
const FOREIGN = '{"hello":"world"}';

function found(body: string, topic = OWN): Parameters<typeof differs>[1] {
  return { topic, body };
}

describe('differs for a client that never registered', () => {
  it.each([
    ['state', 'a handshake', handshake('m1')],
    [undefined, 'a retained offline message', OFFLINE],
    ['dead-letter', 'a message that cannot be read', FOREIGN],
  ])('differs returns %s for an unknown client that retains %s', (why, _, body) => {
    expect(differs(undefined, found(body), 0, 1)).toBe(why);
  });
});

describe('differs for a known client', () => {
  const online = hostConnection('a');
  const offline = hostConnection('a', { state: 'offline', offline_reason: 'retained-offline' });

  it.each([
    [undefined, 'an online client retains the recorded handshake', online, handshake('m1')],
    ['state', 'an online client retains another handshake', online, handshake('m2')],
    ['state', 'an online client retains an offline message', online, OFFLINE],
    ['state', 'an online client retains a message that cannot be read', online, FOREIGN],
    [undefined, 'an offline client retains an offline message', offline, OFFLINE],
    ['state', 'an offline client retains a handshake', offline, handshake('m1')],
    [
      undefined,
      'an offline client retains a message that is a dead letter already',
      { ...offline, offline_reason: 'unknown', dead_letter_digest: digestOf(FOREIGN) } as const,
      FOREIGN,
    ],
    [
      undefined,
      'an unconfirmed client retains the handshake that was not confirmed',
      { ...offline, offline_reason: 'unconfirmed', unconfirmed_handshake: 'm1' } as const,
      handshake('m1'),
    ],
  ])('differs returns %s if %s', (why, _, connection, body) => {
    expect(differs(connection, found(body), 0, 1)).toBe(why);
  });

  it('a client within the window of a force-disconnect differs by a handshake other than the recorded one only', () => {
    const forcedOff = { ...online, refused_until: 10 };
    expect(differs(forcedOff, found(handshake('m1')), 0, 1)).toBeUndefined();
    expect(differs(forcedOff, found(handshake('m2')), 0, 1)).toBe('state');
    const left = { ...forcedOff, state: 'offline', offline_reason: 'goodbye' } as const;
    expect(differs(left, found(handshake('m1')), 0, 1)).toBeUndefined();
    expect(differs(left, found(handshake('m1')), 10, 1)).toBe('state');
  });

  it('a client that said goodbye and retains a last will differs if the goodbye may be the older of the two', () => {
    const away = { ...offline, offline_reason: 'goodbye' } as const;
    expect(differs(away, found(OFFLINE), 0, 1)).toBeUndefined();
    expect(differs(away, found(OFFLINE), 0, 2)).toBe('state');
    expect(differs(away, found(''), 0, 2)).toBeUndefined();
  });

  it('a client does not differ by what it left on another topic, unless that handshake is new', () => {
    const moved = { ...online, superseded_handshakes: ['m0'] };
    expect(differs(moved, found(handshake('m0'), OTHER), 0, 1)).toBeUndefined();
    expect(differs(moved, found(handshake('m2'), OTHER), 0, 1)).toBe('state');
    expect(differs(moved, found(OFFLINE, OTHER), 0, 1)).toBeUndefined();
  });
});

describe('differs for a reserved client id', () => {
  it('a client with a reserved id is reported while it has a connection, and only becomes a dead letter without one', () => {
    const retained = { ...found(handshake('m1')), clientId: 'summary' };
    expect(differs(hostConnection('summary', { status_topic: OWN }), retained, 0, 1)).toBe('state');
    expect(differs(undefined, retained, 0, 1)).toBe('dead-letter');
  });
});
