import fc from 'fast-check';
import { hostConnection } from '../../../../test/support/connections.js';
import type { Source } from './effect.js';
import { refuses, truth, type Recorded } from './truth.js';

const AT = Date.parse('2024-05-06T07:08:09Z');
const ENVELOPE = { message_id: 'm-1', version: 1, sent: '2020-12-04T17:22:24+00:00' };
const HOST = { ...ENVELOPE, type: 'host-handshake', payload: { canonical_facts: { fqdn: 'host-1' } } };
const PROXY = {
  ...ENVELOPE,
  type: 'proxy-handshake',
  payload: { catalog_service_facts: { source_type: 'tower', application_type: 'catalog' } },
};
const OFFLINE = { ...ENVELOPE, type: 'offline' };
const MESSAGE_ERROR = { ...ENVELOPE, type: 'message-error', in_response_to: 'm-0', payload: { details: '' } };
const MESSAGE_RESPONSE = { ...ENVELOPE, type: 'message-response', in_response_to: 'm-0' };
const MESSAGE_PROGRESS = { ...MESSAGE_RESPONSE, type: 'message-progress', payload: { percent: 1 } };
const CLIENT_MESSAGE = { ...ENVELOPE, type: 'message', directive: 'demo:alert' };

/** A client whose recorded handshake has another id than the messages above. */
function refusedUntil(refused_until: number | 'never' | null, more: Partial<Recorded> = {}): Recorded {
  return hostConnection('a', { handshake_message_id: 'm-0', refused_until, ...more });
}

function truthOf(retained: unknown, until: number | 'never' | null = null): ReturnType<typeof truth> {
  return truth(JSON.stringify(retained), refusedUntil(until), AT);
}

describe('truth', () => {
  it.each([
    ['host', HOST],
    ['proxy', PROXY],
  ])('a client is online with its facts if a valid %s handshake is retained', (_, handshake) => {
    expect(truthOf(handshake)).toEqual({ state: 'online', handshake });
  });

  it.each([
    ['nothing', undefined],
    ['an empty message', ''],
  ])('a client is offline, with its handshake removed, if %s is retained', (_, retained) => {
    expect(truth(retained, undefined, AT)).toEqual({ state: 'offline', reason: 'handshake-removed' });
    expect(truth(retained, refusedUntil('never'), AT)).toEqual({ state: 'offline', reason: 'handshake-removed' });
  });

  it('a client with a retained offline message is offline, within a refusal window as well', () => {
    expect(truthOf(OFFLINE)).toEqual({ state: 'offline', reason: 'retained-offline' });
    expect(truthOf(OFFLINE, 'never')).toEqual({ state: 'offline', reason: 'retained-offline' });
  });

  it.each([MESSAGE_ERROR, MESSAGE_RESPONSE, MESSAGE_PROGRESS, CLIENT_MESSAGE])(
    'a client is unknown, with a refusal and what it says, if it retains a $type',
    (talk) => {
      expect(truthOf(talk)).toEqual({
        state: 'offline',
        reason: 'unknown',
        talk,
        refusal: {
          reason: 'wrong-shape',
          details: `a ${talk.type} must not be retained: it took the place of the handshake`,
          messageId: 'm-1',
          handshake: false,
        },
      });
    },
  );

  it.each([
    ['text that is not JSON', 'hello', 'not-json', null],
    ['JSON that is no object', '[]', 'wrong-shape', null],
    ['an unknown type', '{"type":"hello","message_id":"m-1"}', 'unknown-type', 'm-1'],
    ['an offline of another version', JSON.stringify({ ...OFFLINE, version: 2 }), 'unsupported-version', 'm-1'],
    ['an offline without a time', JSON.stringify({ ...OFFLINE, sent: undefined }), 'wrong-shape', 'm-1'],
  ])('a client is unknown, with a refusal, if %s is retained', (_, retained, reason, messageId) => {
    expect(truth(retained, undefined, AT)).toMatchObject({
      state: 'offline',
      reason: 'unknown',
      refusal: { reason, messageId, handshake: false },
    });
  });

  it.each([
    ['without facts', { ...HOST, payload: {} }, 'wrong-shape', 'm-1'],
    ['of another version', { ...PROXY, version: 2 }, 'unsupported-version', 'm-1'],
    ['without an id', { ...HOST, message_id: undefined }, 'wrong-shape', null],
  ])('a retained handshake %s is invalid, with a refusal', (_, retained, reason, messageId) => {
    expect(truthOf(retained)).toMatchObject({
      state: 'offline',
      reason: 'invalid-handshake',
      refusal: { reason, messageId, handshake: true },
    });
  });

  it('an invalid handshake within a refusal window counts as invalid, not as refused', () => {
    expect(truthOf({ ...HOST, payload: {} }, 'never')).toMatchObject({ reason: 'invalid-handshake' });
  });

  it.each([
    [1, 1],
    [1000, 1],
    [1001, 2],
    [90_000, 90],
  ])(
    'a handshake is refused %d ms before the window ends, and the refusal names the %d s that are left',
    (left, seconds) => {
      expect(truthOf(HOST, AT + left)).toEqual({
        state: 'offline',
        reason: 'refused',
        refusal: {
          reason: 'refused-until',
          details: `this client was disconnected and may come back in ${seconds} s, at ${new Date(AT + left).toISOString()}`,
          retryAfter: `PT${seconds}S`,
          messageId: 'm-1',
          handshake: true,
        },
      });
    },
  );

  it('a handshake is refused without an end if the window has none, and the refusal names who can end it', () => {
    expect(truthOf(PROXY, 'never')).toEqual({
      state: 'offline',
      reason: 'refused',
      refusal: {
        reason: 'refused-until',
        details: 'this client was disconnected until an operator lets it in again',
        retryAfter: 'never',
        messageId: 'm-1',
        handshake: true,
      },
    });
  });

  it.each([0, -1, -1_000_000])('a client is online again %d ms after the window has ended', (left) => {
    expect(truthOf(HOST, AT + left)).toEqual({ state: 'online', handshake: HOST });
  });

  it('the time at which a message says it was sent decides nothing', () => {
    for (const sent of ['1970-01-01T00:00:00Z', '2099-01-01T00:00:00Z']) {
      expect(truthOf({ ...HOST, sent }).state).toBe('online');
      expect(truthOf({ ...OFFLINE, sent }).state).toBe('offline');
    }
  });

  it('any text has a state, and only a valid handshake makes a client online', () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constantFrom(HOST, PROXY, OFFLINE).map((one) => JSON.stringify(one)),
    );
    const until = fc.oneof(
      fc.constant(null),
      fc.constant('never' as const),
      fc.integer({ min: AT - 10, max: AT + 10 }),
    );
    fc.assert(
      fc.property(text, until, (retained, end) => {
        const found = truth(retained, refusedUntil(end), AT);
        const handshake = [HOST, PROXY].some((one) => JSON.stringify(one) === retained);
        expect(found.state).toBe(handshake && !refuses(end, AT) ? 'online' : 'offline');
      }),
      { numRuns: 300 },
    );
  });
});

describe('truth within the window of a force-disconnect', () => {
  const SOURCES: Source[] = ['live', 'redelivered', 'read-back'];
  const online = refusedUntil(AT + 1, { handshake_message_id: 'm-1' });
  const offline = { ...online, state: 'offline', offline_reason: 'retained-offline' } as const;
  const isRefused = { state: 'offline', reason: 'refused', refusal: { reason: 'refused-until', messageId: 'm-1' } };

  function stateOf(recorded: Recorded, source: Source = 'read-back'): ReturnType<typeof truth> {
    return truth(JSON.stringify(HOST), recorded, AT, source);
  }

  it.each(SOURCES)('the recorded handshake leaves a client online that has not left, if it comes %s', (source) => {
    expect(stateOf(online, source).state).toBe('online');
    expect(stateOf({ ...online, refused_until: 'never' }, source).state).toBe('online');
  });

  it.each(SOURCES)('another handshake than the recorded one is refused, if it comes %s', (source) => {
    for (const one of [online, offline]) {
      expect(stateOf({ ...one, handshake_message_id: 'm-0' }, source)).toMatchObject(isRefused);
    }
  });

  it('an offline client that sends its recorded handshake again is refused, since it came back too early', () => {
    expect(stateOf(offline, 'live')).toMatchObject(isRefused);
  });

  it('the recorded handshake that is read back, or delivered again, proves that an offline client has not left', () => {
    expect(stateOf(offline, 'redelivered').state).toBe('online');
    expect(stateOf(offline).state).toBe('online');
  });

  it('a client that said goodbye and left its handshake at the broker is not online again by a reading', () => {
    const left = { ...offline, offline_reason: 'goodbye' } as const;
    expect(stateOf(left)).toEqual({ state: 'offline', reason: 'goodbye' });
    expect(stateOf(left, 'redelivered').state).toBe('online');
    expect(stateOf({ ...left, refused_until: AT }).state).toBe('online');
  });

  it('the recorded handshake is refused if it was refused before in the window', () => {
    for (const source of SOURCES)
      expect(stateOf({ ...offline, refused_handshake: 'm-1' }, source)).toMatchObject(isRefused);
  });

  it('the recorded handshake does not confirm a client that was not confirmed after a restart of the broker', () => {
    const unconfirmed = { ...offline, offline_reason: 'unconfirmed', unconfirmed_handshake: 'm-1' } as const;
    expect(stateOf(unconfirmed)).toEqual({ state: 'offline', reason: 'unconfirmed' });
  });
});

describe('truth after the window of a force-disconnect', () => {
  it('a refused handshake stays refused until the client sends it again', () => {
    const refused = refusedUntil(AT, { state: 'offline', offline_reason: 'refused', refused_handshake: 'm-1' });
    expect(truth(JSON.stringify(HOST), refused, AT)).toEqual({ state: 'offline', reason: 'refused' });
    expect(truth(JSON.stringify(HOST), refused, AT, 'live').state).toBe('online');
  });
});

describe('refuses', () => {
  it.each([
    [null, false],
    ['never' as const, true],
    [AT + 1, true],
    [AT, false],
    [AT - 1, false],
  ])('a refusal window until %s refuses: %s', (until, expected) => {
    expect(refuses(until, AT)).toBe(expected);
  });
});
