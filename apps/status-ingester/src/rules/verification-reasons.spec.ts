import {
  IN,
  MOVING,
  RULES,
  STATUS,
  goodbye,
  host,
  messageError,
  online,
  play,
} from '../../../../test/support/transitions.js';
import type { Transition } from './effect.js';

const LANES = { ...RULES, lanes: 2 };

function reasonsOf({ effects }: Transition): unknown[] {
  return effects.flatMap((effect) => (effect.kind === 'verify' ? [effect.reason] : []));
}

describe('the reason of a verification request', () => {
  it('the first message of a client is verified because of the lanes if there are several', () => {
    expect(reasonsOf(play(LANES, undefined, host('h-1')))).toEqual(['lanes']);
    expect(reasonsOf(play(RULES, undefined, host('h-1')))).toEqual([]);
  });

  it('a message through another lane than the last one is verified because of the lanes', () => {
    expect(reasonsOf(play(LANES, online(), host('h-2', { lane: 1 })))).toEqual(['lanes']);
    expect(reasonsOf(play(LANES, online(), goodbye('o-1', { lane: 1 })))).toEqual(['lanes']);
    expect(reasonsOf(play(LANES, online(), host('h-2')))).toEqual([]);
  });

  it('a redelivery is verified with one lane as well, because a broker may redeliver in any order', () => {
    for (const rules of [LANES, RULES]) {
      expect(reasonsOf(play(rules, online(), host('h-2', { dup: true })))).toEqual(['redelivery']);
      expect(reasonsOf(play(rules, online(), goodbye('o-1', { dup: true })))).toEqual(['redelivery']);
    }
  });

  it('a move to another status topic is verified', () => {
    expect(reasonsOf(play(MOVING, online(MOVING, IN), host('h-2', { topic: STATUS })))).toEqual(['status-topic']);
  });

  it('a message without state is not verified', () => {
    expect(reasonsOf(play(LANES, online(), messageError('e-1', { lane: 1 })))).toEqual([]);
  });
});
