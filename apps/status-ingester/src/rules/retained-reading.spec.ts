import type { Connection, Retained, RetainedReading } from '@app/registry';
import {
  CLIENT,
  IN,
  MOVING,
  RULES,
  SECOND,
  STATUS,
  T0,
  eventsOf,
  goodbye,
  host,
  invalidHandshake,
  known,
  lettersOf,
  offline,
  online,
  packet,
  play,
  todosOf,
} from '../../../../test/support/transitions.js';
import type { Rules, Transition } from './effect.js';

/** A reading that a second read has confirmed. */
function read(rules: Rules, before: Connection | undefined, ...retained: Retained[]): Transition {
  return readOnce(rules, before, { isConfirmed: true }, ...retained);
}

function readOnce(
  rules: Rules,
  before: Connection | undefined,
  more: Pick<RetainedReading, 'isConfirmed' | 'noted' | 'provesAbsence'>,
  ...retained: Retained[]
): Transition {
  return play(rules, before, {
    ...{ kind: 'verified', clientId: CLIENT, attempt: '1', retained, ...more },
    ...{ at: T0 + SECOND, id: '2-1' },
  });
}

function on(topic: string, { body }: { body: string }): Retained {
  return { topic, body };
}

/** What a reading changed, and the answer to its caller. */
function verifiedOf({ effects }: Transition): unknown {
  return effects.find(({ kind }) => kind === 'verified');
}

function verified(change: string, state: string, offlineReason: string | null, changed: boolean): object {
  return { kind: 'verified', change, answer: { kind: 'verified', state, offlineReason, changed } };
}

const before = online();

describe('a reading of retained messages', () => {
  it('a reading that finds the recorded handshake changes nothing, and keeps the lane', () => {
    const outcome = read(RULES, before, on(IN, host('h-1')));
    expect(outcome.connection).toBe(before);
    expect(verifiedOf(outcome)).toEqual(verified('none', 'online', null, false));
    expect(outcome.effects).toContainEqual({ kind: 'undo', todo: { do: 'verify', client_id: CLIENT } });
  });

  it('a reading that finds another handshake updates the client, whose lane is then unknown', () => {
    const outcome = read(RULES, before, on(IN, host('h-2', {}, { fqdn: 'another' })));
    expect(outcome.connection).toMatchObject({ handshake_message_id: 'h-2', lane: null, last_message_at: T0 });
    expect(known(outcome.connection).last_live_handshake_at).toBe(T0 + SECOND);
    expect(verifiedOf(outcome)).toEqual(verified('updated', 'online', null, true));
  });

  it('a reading that finds nothing takes an online client offline', () => {
    const outcome = read(RULES, before);
    expect(outcome.connection).toMatchObject({ state: 'offline', offline_reason: 'handshake-removed', lane: null });
    expect(verifiedOf(outcome)).toEqual(verified('offline', 'offline', 'handshake-removed', true));
    expect(eventsOf(outcome)).toMatchObject([{ type: 'connection.offline', reason: 'handshake-removed' }]);
  });

  it('a reading that finds the recorded handshake brings an offline client online', () => {
    const gone = known(play(RULES, before, packet('')).connection);
    expect(verifiedOf(read(RULES, gone, on(IN, host('h-1'))))).toEqual(verified('online', 'online', null, true));
  });

  it('a reading can change the reason of an offline client alone', () => {
    const gone = known(play(RULES, before, packet('')).connection);
    const outcome = read(RULES, gone, on(IN, offline('o-1')));
    expect(verifiedOf(outcome)).toEqual(verified('reason', 'offline', 'retained-offline', true));
    expect(eventsOf(outcome)).toEqual([]);
    const same = read(RULES, known(outcome.connection), on(IN, offline('o-1')));
    expect(verifiedOf(same)).toEqual(verified('none', 'offline', 'retained-offline', false));
  });

  it('a reading for an unknown client makes it known if a handshake is retained, and is answered with unknown otherwise', () => {
    const outcome = read(RULES, undefined, on(IN, host('h-1')));
    expect(outcome.connection).toMatchObject({ state: 'online', last_message_at: T0 + SECOND, lane: null });
    expect(verifiedOf(outcome)).toEqual(verified('online', 'online', null, true));
    const unknown = { kind: 'verified', change: 'none', answer: { kind: 'unknown' } };
    expect(verifiedOf(read(RULES, undefined))).toEqual(unknown);
  });

  it('a reading of a message that cannot be read takes the client offline, and makes it a dead letter once', () => {
    const tooLarge: Retained = { topic: IN, body: 'x', refused: 'too-large' };
    const outcome = read(RULES, before, tooLarge);
    expect(outcome.connection).toMatchObject({ state: 'offline', offline_reason: 'unknown' });
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'too-large', topic: IN }]);
    const again = read(RULES, outcome.connection, tooLarge);
    expect(lettersOf(again)).toEqual([]);
    expect(verifiedOf(again)).toEqual(verified('none', 'offline', 'unknown', false));
    const other = read(RULES, outcome.connection, { ...tooLarge, body: 'y' });
    expect(lettersOf(other)).toHaveLength(1);
  });

  it('an invalid handshake of an offline client becomes a dead letter once, although the reason stays', () => {
    const gone: Connection = { ...before, state: 'offline', offline_reason: 'invalid-handshake' };
    const retained = on(IN, invalidHandshake('h-2'));
    const outcome = read(RULES, gone, retained);
    expect(lettersOf(outcome)).toHaveLength(1);
    expect(lettersOf(read(RULES, outcome.connection, retained))).toEqual([]);
  });

  it('a handshake that was refused by a force-disconnect stays refused when it is read after the window', () => {
    const refusing: Connection = { ...before, refused_until: T0 + SECOND };
    const refused = known(play(RULES, refusing, host('h-2', { at: T0 })).connection);
    expect(refused).toMatchObject({ state: 'offline', offline_reason: 'refused', refused_handshake: 'h-2' });
    const outcome = read(RULES, refused, on(IN, host('h-2')));
    expect(outcome.connection?.state).toBe('offline');
    expect(verifiedOf(outcome)).toEqual(verified('none', 'offline', 'refused', false));
  });
});

describe('a reading of retained messages on two status topics', () => {
  const moving = online(MOVING);

  it('a new handshake on the other topic moves the client', () => {
    const outcome = read(MOVING, moving, on(IN, host('h-1')), on(STATUS, host('h-2')));
    expect(outcome.connection).toMatchObject({ status_topic: STATUS, handshake_message_id: 'h-2' });
    expect(todosOf(outcome)).toContainEqual({ do: 'clear-retained', client_id: CLIENT, status_topic: IN });
  });

  it('a new handshake on the own topic takes precedence over one on the other topic', () => {
    const outcome = read(MOVING, moving, on(STATUS, host('h-3')), on(IN, host('h-2')));
    expect(outcome.connection).toMatchObject({ status_topic: IN, handshake_message_id: 'h-2' });
  });

  it('a handshake that the client left on the other topic does not move it back', () => {
    const moved = known(play(MOVING, moving, host('h-2', { topic: STATUS })).connection);
    expect(moved.superseded_handshakes).toEqual(['h-1']);
    expect(read(MOVING, moved, on(IN, host('h-1')), on(STATUS, host('h-2'))).connection).toBe(moved);
    const gone = read(MOVING, moved, on(IN, host('h-1')));
    expect(gone.connection).toMatchObject({ state: 'offline', status_topic: STATUS });
  });

  it('neither a message that cannot be read nor an offline message on the other topic counts', () => {
    const unreadable: Retained = { topic: STATUS, body: host('h-2').body, refused: 'not-utf8' };
    expect(read(MOVING, moving, on(IN, host('h-1')), unreadable).connection).toBe(moving);
    expect(read(MOVING, moving, on(IN, host('h-1')), on(STATUS, offline('o-1'))).connection).toBe(moving);
  });

  it('the ids of at most eight handshakes on left topics are kept, and never the current one', () => {
    let connection: Connection | undefined = moving;
    for (let i = 0; i < 10; i++) {
      connection = play(MOVING, connection, host(`m-${i}`, { topic: i % 2 === 0 ? STATUS : IN })).connection;
    }
    expect(connection?.superseded_handshakes).toEqual(Array.from({ length: 8 }, (_, i) => `m-${i + 1}`));
    const back = play(MOVING, connection, host('m-8', { topic: STATUS })).connection;
    expect(back?.superseded_handshakes).not.toContain('m-8');
    expect(back?.superseded_handshakes).toContain('m-9');
  });
});

describe('a goodbye that confirms what was read', () => {
  it('a goodbye is the reason of a client that is offline without one, but not in place of a last will', () => {
    const withReason = (offline_reason: Connection['offline_reason']): Connection => ({
      ...before,
      ...{ state: 'offline', offline_reason, dead_letter_digest: 'd' },
    });
    const after = (reason: Connection['offline_reason'], lanes = 1): Connection =>
      known(play({ ...RULES, lanes }, withReason(reason), goodbye('o-1')).connection);
    expect(after(null)).toMatchObject({ offline_reason: 'goodbye', dead_letter_digest: 'd' });
    expect(after('retained-offline').offline_reason).toBe('retained-offline');
    expect(after('handshake-removed').offline_reason).toBe('handshake-removed');
    expect(after('handshake-removed', 2).offline_reason).toBe('goodbye');
    expect(after('retained-offline', 2).offline_reason).toBe('retained-offline');
  });
});

describe('a single reading of retained messages', () => {
  const gone = known(play(RULES, before, goodbye('o-1')).connection);
  const unreadable: Retained = { topic: IN, body: 'x', refused: 'too-large' };
  const readings: [string, Retained[]][] = [
    ['nothing', []],
    ['offline', [on(IN, offline('o-1'))]],
    ['the recorded handshake', [on(IN, host('h-1'))]],
    ['another handshake', [on(IN, host('h-2'))]],
    ['a handshake that is not valid', [on(IN, invalidHandshake('h-2'))]],
    ['a message that cannot be read', [unreadable]],
  ];
  const sources: [string, Pick<RetainedReading, 'noted'>][] = [
    ['a verification', {}],
    ['a sweep', { noted: '1-0' }],
  ];
  const all = sources.flatMap(([source, more]) =>
    readings.map(([what, retained]) => ({ source, more, what, retained })),
  );

  it.each(all.filter(({ what }) => what !== 'the recorded handshake'))(
    'of $source changes nothing for an online client if it finds $what',
    ({ more, retained }) => {
      const outcome = readOnce(RULES, before, more, ...retained);
      expect(outcome.connection).toBe(before);
      expect(outcome.effects).toEqual([{ kind: 'unconfirmed' }]);
    },
  );

  it.each(all)('of $source is applied to a client that is not online if it finds $what', ({ more, retained }) => {
    for (const connection of [undefined, gone]) {
      const outcome = readOnce(RULES, connection, more, ...retained);
      const confirmed = read(RULES, connection, ...retained);
      expect(outcome.connection).toEqual(confirmed.connection);
      expect(verifiedOf(outcome)).toEqual(verifiedOf(confirmed));
    }
  });

  it.each(readings)(
    'of a verification that finds %s has the client verified again only if it brings it online',
    (_, retained) => {
      for (const connection of [undefined, gone, before]) {
        const outcome = readOnce(RULES, connection, {}, ...retained);
        const cameOnline = connection?.state !== 'online' && outcome.connection?.state === 'online';
        expect(outcome.effects.filter(({ kind }) => kind === 'verify')).toEqual(
          cameOnline ? [{ kind: 'verify', reason: 'online' }] : [],
        );
      }
    },
  );

  it('of a sweep that brings a client online is not followed by a verification, because the sweep reads again', () => {
    const { effects } = readOnce(RULES, undefined, { noted: '1-0' }, on(IN, host('h-1')));
    expect(effects.map(({ kind }) => kind)).not.toContain('verify');
  });

  it('that finds another handshake on the other status topic does not move an online client', () => {
    const moving = online(MOVING, IN);
    const retained = [on(IN, host('h-1')), on(STATUS, host('h-2'))];
    expect(readOnce(MOVING, moving, {}, ...retained).connection).toBe(moving);
  });
});

describe('a reading of a broker that cannot prove an absence', () => {
  const weak = { isConfirmed: true, provesAbsence: false } as const;
  const unproven = { kind: 'verified', change: 'none', isUnproven: true } as const;
  const undone = { kind: 'undo', todo: { do: 'verify', client_id: CLIENT } };
  const gone = known(play(RULES, before, offline('o-1')).connection);

  it.each([
    ['an online client', before, { kind: 'verified', state: 'online', offlineReason: null }],
    ['an offline client', gone, { kind: 'verified', state: 'offline', offlineReason: 'retained-offline' }],
  ])('changes nothing for %s if it finds nothing, and ends the verification', (_, connection, answer) => {
    const outcome = readOnce(RULES, connection, weak);
    expect(outcome.connection).toBe(connection);
    expect(outcome.effects).toEqual([undone, { ...unproven, answer: { ...answer, changed: false, isUnproven: true } }]);
  });

  it('leaves a client unknown if it finds nothing', () => {
    const outcome = readOnce(RULES, undefined, weak);
    expect(outcome.connection).toBeUndefined();
    expect(outcome.effects).toEqual([undone, { ...unproven, answer: { kind: 'unknown' } }]);
  });

  it.each([
    ['offline', offline('o-1').body, 'offline'],
    ['a handshake', host('h-2').body, 'online'],
  ])('is applied if it finds %s', (_, body, state) => {
    const outcome = readOnce(RULES, before, weak, { topic: IN, body });
    expect(outcome.connection).toMatchObject({ state });
    expect(outcome.connection).not.toBe(before);
  });

  it('changes nothing if it finds only a message on a topic that the client has left', () => {
    const moved = known(play(MOVING, online(MOVING, IN), host('h-2', { topic: STATUS })).connection);
    expect(readOnce(MOVING, moved, weak, on(IN, host('h-1'))).connection).toBe(moved);
  });
});
