/** Keeps answers for a moment, so that many callers who ask at the same time cost one reading. */

/** Most answers that are kept. */
const MOST = 1000;

export class AnswerCache<Answer> {
  private readonly kept = new Map<string, { until: number; answer: Promise<Answer> }>();

  constructor(
    private readonly keptMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The answer of the last moment, or that of `read`, which callers at the same time share. A failure is not kept. */
  get(key: string, read: () => Promise<Answer>): Promise<Answer> {
    const known = this.kept.get(key);
    if (known !== undefined && this.now() < known.until) return known.answer;
    this.kept.delete(key);
    const oldest = this.kept.keys().next();
    if (this.kept.size >= MOST && oldest.done !== true) this.kept.delete(oldest.value);
    const entry = { until: this.now() + this.keptMs, answer: read() };
    this.kept.set(key, entry);
    entry.answer.catch(() => {
      if (this.kept.get(key) === entry) this.kept.delete(key);
    });
    return entry.answer;
  }

  get size(): number {
    return this.kept.size;
  }
}
