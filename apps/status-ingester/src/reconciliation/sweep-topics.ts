/**
 * Remembers which topics the passes of a sweep brought, and how often. If a pass misses topics that an earlier one brought, the
 * broker drops messages, and there may be others that no pass has brought yet. Topics on which something was published since
 * the sweep began prove nothing: a message may be new, or gone. It can also be gone without a publication in that time: it
 * expired, or was removed a moment before the sweep and the first pass brought it nevertheless, because readings may be old.
 */
import { TopicTable } from './topic-table.js';

/**
 * If every message was brought by so many passes of a broker that drops some each time, hardly any was dropped by all of them.
 * One that so many passes in a row did not bring counts as gone.
 */
export const SEVERAL_PASSES = 4;

export class SweepTopics {
  private readonly table = new TopicTable();
  private pass = 0;
  /** How many topics any pass brought. */
  private known = 0;
  /** How many topics this pass brought. */
  private received = 0;
  /** How many of them no earlier pass brought in time, although they were retained before the sweep began. */
  private unseen = 0;

  get count(): number {
    return this.known;
  }

  get fresh(): number {
    return this.unseen;
  }

  /** Topics that an earlier pass brought and this pass did not. */
  get missed(): number {
    const { passes, lastPass, isChanged } = this.table.columns;
    let missed = this.known - this.received;
    if (missed === 0) return 0;
    for (let row = 0; row < passes.length; row++)
      if (isChanged[row] !== 0 && passes[row] !== 0 && lastPass[row] !== this.pass) missed--;
    return missed;
  }

  /** Topics that only a few passes brought, although their messages are not gone. */
  get readByFew(): number {
    const { passes, lastPass, isChanged } = this.table.columns;
    let readByFew = 0;
    for (const [row, count] of passes.entries()) {
      const isGone = isChanged[row] !== 0 || this.pass - (lastPass[row] ?? 0) >= SEVERAL_PASSES;
      if (count > 0 && count < SEVERAL_PASSES && !isGone) readByFew++;
    }
    return readByFew;
  }

  /** Whether the present pass brought it. */
  isPresent(topic: string): boolean {
    const { passes, lastPass } = this.table.columns;
    const row = this.table.find(topic);
    return row >= 0 && passes[row] !== 0 && lastPass[row] === this.pass;
  }

  /** A pass begins. */
  begin(): void {
    this.pass++;
    this.received = 0;
    this.unseen = 0;
  }

  /** @returns whether the topic is known with this text */
  again(topic: string, digest: number): boolean {
    const row = this.table.find(topic);
    const { text, passes, lastPass, isChanged } = this.table.columns;
    const count = passes[row] ?? 0;
    if (count === 0) return false;
    if (lastPass[row] !== this.pass) {
      this.received++;
      lastPass[row] = this.pass;
      passes[row] = isChanged[row] === 0 ? count + 1 : SEVERAL_PASSES;
      isChanged[row] = 0;
    }
    const isSame = text[row] === digest;
    text[row] = digest;
    return isSame;
  }

  /** The present pass brought the topic, as the first one. */
  add(topic: string, digest: number): void {
    this.known++;
    this.received++;
    const row = this.table.add(topic);
    const { text, passes, lastPass, isChanged } = this.table.columns;
    const hasChanged = isChanged[row] !== 0;
    if (!hasChanged) this.unseen++;
    text[row] = digest;
    passes[row] = hasChanged ? SEVERAL_PASSES : 1;
    lastPass[row] = this.pass;
    isChanged[row] = 0;
  }

  /** Whether a pass brought the topic, or something was published on it. */
  hasTrace(topic: string): boolean {
    return this.table.find(topic) >= 0;
  }

  /** Something was published on the topic. */
  change(topic: string): void {
    const row = this.table.add(topic);
    this.table.columns.isChanged[row] = 1;
  }

  /** A message of an earlier pass came too late for it. */
  late(topic: string): void {
    if (!this.hasTrace(topic)) this.unseen++;
  }
}
