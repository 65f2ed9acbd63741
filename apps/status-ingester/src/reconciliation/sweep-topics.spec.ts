import fc from 'fast-check';
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

  it('count like lists of their texts, whatever is brought, published and late, in any order', () => {
    const topic = fc.integer({ min: 0, max: 9 }).map((n) => `in/${n}`);
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant('receive' as const), topic, fc.integer({ min: 1, max: 2 })) },
      { weight: 1, arbitrary: fc.tuple(fc.constantFrom('begin', 'change', 'late'), topic, fc.constant(0)) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        topics = new SweepTopics();
        const lists = new Lists();
        for (const [what, name, digest] of [['begin', '', 0] as const, ...steps]) {
          for (const one of [topics, lists]) {
            if (what === 'begin') one.begin();
            else if (what === 'change') one.change(name);
            else if (what === 'late') one.late(name);
            else if (!one.again(name, digest) && !one.isPresent(name)) one.add(name, digest);
          }
          expect({ ...counts(), count: topics.count }).toEqual(lists.counts());
          expect([topics.isPresent(name), topics.hasTrace(name)]).toEqual([
            lists.isPresent(name),
            lists.hasTrace(name),
          ]);
        }
      }),
    );
  });
});

/** The same with a list of texts for each question. */
class Lists {
  /** What each pass brought, in order. */
  private readonly passes: string[][] = [];
  private readonly texts = new Map<string, number>();
  private readonly seen = new Map<string, number>();
  private readonly changed = new Set<string>();
  private fresh = 0;

  begin(): void {
    this.passes.push([]);
    this.fresh = 0;
  }

  change(name: string): void {
    this.changed.add(name);
  }

  late(name: string): void {
    if (!this.hasTrace(name)) this.fresh++;
  }

  again(name: string, digest: number): boolean {
    const count = this.seen.get(name);
    if (count === undefined) return false;
    if (!this.isPresent(name)) this.receive(name, count + 1);
    const isSame = this.texts.get(name) === digest;
    this.texts.set(name, digest);
    return isSame;
  }

  add(name: string, digest: number): void {
    if (!this.changed.has(name)) this.fresh++;
    this.receive(name, 1);
    this.texts.set(name, digest);
  }

  isPresent(name: string): boolean {
    return this.passes.at(-1)?.includes(name) === true;
  }

  hasTrace(name: string): boolean {
    return this.seen.has(name) || this.changed.has(name);
  }

  counts(): Record<'fresh' | 'missed' | 'readByFew' | 'count', number> {
    const names = [...this.seen.keys()];
    const isGone = (name: string): boolean =>
      this.changed.has(name) || !this.passes.slice(-SEVERAL_PASSES).some((pass) => pass.includes(name));
    const missed = names.filter((name) => !this.isPresent(name) && !this.changed.has(name)).length;
    const readByFew = names.filter((name) => (this.seen.get(name) ?? 0) < SEVERAL_PASSES && !isGone(name)).length;
    return { fresh: this.fresh, missed, readByFew, count: names.length };
  }

  private receive(name: string, count: number): void {
    this.seen.set(name, this.changed.delete(name) ? SEVERAL_PASSES : count);
    this.passes.at(-1)?.push(name);
  }
}
