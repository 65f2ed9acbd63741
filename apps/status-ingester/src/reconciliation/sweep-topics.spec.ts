import { SEVERAL_PASSES, SweepTopics } from './sweep-topics.js';

let topics: SweepTopics;

beforeEach(() => {
  topics = new SweepTopics();
});

function pass(...names: string[]): void {
  topics.begin();
  for (const name of names) if (!topics.again(name, 1)) topics.add(name, 1);
}

function counts(): Record<'fresh' | 'missed' | 'readByFew', number> {
  const { fresh, missed, readByFew } = topics;
  return { fresh, missed, readByFew };
}

describe('the topics of a sweep', () => {
  it('count what no earlier pass brought, and what an earlier pass brought and this one did not', () => {
    pass('a', 'b', 'c');
    expect(counts()).toMatchObject({ fresh: 3, missed: 0 });
    pass('b', 'c', 'd');
    expect(counts()).toMatchObject({ fresh: 1, missed: 1 });
    expect(topics.count).toBe(4);
  });

  it('count a topic once that a pass brings twice, as by two filters', () => {
    pass('a', 'a', 'b');
    expect(counts()).toMatchObject({ fresh: 2, missed: 0 });
    pass('a', 'a');
    expect(counts()).toMatchObject({ fresh: 0, missed: 1 });
  });

  it('count a topic as read by few until enough passes have brought it', () => {
    for (let i = 1; i < SEVERAL_PASSES; i++) {
      pass('a', 'a');
      expect(topics.readByFew).toBe(1);
    }
    pass('a');
    expect(topics.readByFew).toBe(0);
  });

  it('do not count a topic as read by few after so many passes in a row did not bring it: its message is gone', () => {
    pass('gone', 'stays');
    for (let i = 1; i < SEVERAL_PASSES; i++) {
      pass('stays');
      expect(topics.readByFew).toBe(i < SEVERAL_PASSES - 1 ? 2 : 1);
    }
    pass('stays');
    expect(counts()).toEqual({ fresh: 0, missed: 1, readByFew: 0 });
    pass('stays', 'gone');
    expect(counts()).toEqual({ fresh: 0, missed: 0, readByFew: 1 });
  });

  it('count nothing against a pass on whose topic something was published', () => {
    pass('gone', 'stays');
    topics.change('gone');
    topics.change('new');
    pass('stays', 'new');
    expect(counts()).toEqual({ fresh: 0, missed: 0, readByFew: 1 });
    pass('stays');
    expect(counts()).toMatchObject({ fresh: 0, missed: 1 });
  });

  it('count as fresh what comes too late for an earlier pass', () => {
    pass('a');
    topics.begin();
    topics.late('a');
    expect(topics.fresh).toBe(0);
    topics.late('b');
    expect(topics.fresh).toBe(1);
    expect(topics.count).toBe(1);
  });

  it('know whether a text is another one than before, and whether the present pass brought it', () => {
    pass('a', 'b');
    topics.begin();
    expect([topics.again('a', 1), topics.again('a', 2), topics.again('a', 2)]).toEqual([true, false, true]);
    expect(['a', 'b', 'c'].filter((topic) => topics.isPresent(topic))).toEqual(['a']);
  });
});
