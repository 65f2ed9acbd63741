/**
 * Remembers which topics the passes of a sweep brought, and how often. If a pass misses topics that an earlier one brought, the
 * broker drops messages, and there may be others that no pass has brought yet. Topics on which something was published since
 * the sweep began prove nothing: a message may be new, or gone. It can also be gone without a publication in that time: it
 * expired, or was removed a moment before the sweep and the first pass brought it nevertheless, because readings may be old.
 */

/**
 * If every message was brought by so many passes of a broker that drops some each time, hardly any was dropped by all of them.
 * One that so many passes in a row did not bring counts as gone.
 */
export const SEVERAL_PASSES = 4;

interface Topic {
  /** Of the text that was passed on last. */
  digest: number;
  /** How many passes brought it. */
  passes: number;
  /** The last pass that brought it. */
  pass: number;
}

export class SweepTopics {
  private readonly seen = new Map<string, Topic>();
  /** Topics on which something was published since they were brought last. */
  private readonly changed = new Set<string>();
  private pass = 0;
  /** How many topics this pass brought. */
  private received = 0;
  /** How many of them no earlier pass brought in time, although they were retained before the sweep began. */
  private unseen = 0;

  get count(): number {
    return this.seen.size;
  }

  get fresh(): number {
    return this.unseen;
  }

  /** Topics that an earlier pass brought and this pass did not. */
  get missed(): number {
    let missed = this.seen.size - this.received;
    for (const topic of this.changed) if (this.seen.has(topic) && !this.isPresent(topic)) missed--;
    return missed;
  }

  /** Topics that only a few passes brought, although their messages are not gone. */
  get readByFew(): number {
    let readByFew = 0;
    for (const [topic, { passes, pass }] of this.seen) {
      const isGone = this.changed.has(topic) || this.pass - pass >= SEVERAL_PASSES;
      if (passes < SEVERAL_PASSES && !isGone) readByFew++;
    }
    return readByFew;
  }

  /** Whether the present pass brought it. */
  isPresent(topic: string): boolean {
    return this.seen.get(topic)?.pass === this.pass;
  }

  /** A pass begins. */
  begin(): void {
    this.pass++;
    this.received = 0;
    this.unseen = 0;
  }

  /** @returns whether the topic is known with this text */
  again(topic: string, digest: number): boolean {
    const known = this.seen.get(topic);
    if (known === undefined) return false;
    if (known.pass !== this.pass) {
      this.received++;
      known.pass = this.pass;
      known.passes = this.changed.delete(topic) ? SEVERAL_PASSES : known.passes + 1;
    }
    const isSame = known.digest === digest;
    known.digest = digest;
    return isSame;
  }

  /** The present pass brought the topic, as the first one. */
  add(topic: string, digest: number): void {
    this.received++;
    const hasChanged = this.changed.delete(topic);
    if (!hasChanged) this.unseen++;
    this.seen.set(topic, { digest, passes: hasChanged ? SEVERAL_PASSES : 1, pass: this.pass });
  }

  /** Whether a pass brought the topic, or something was published on it. */
  hasTrace(topic: string): boolean {
    return this.seen.has(topic) || this.changed.has(topic);
  }

  /** Something was published on the topic. */
  change(topic: string): void {
    this.changed.add(topic);
  }

  /** A message of an earlier pass came too late for it. */
  late(topic: string): void {
    if (!this.seen.has(topic) && !this.changed.has(topic)) this.unseen++;
  }
}
