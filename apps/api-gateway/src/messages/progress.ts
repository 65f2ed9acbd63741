/**
 * Distinguishes a busy Redis from one that is away: requests keep waiting while Redis answers any of them. If it has answered none
 * for too long, all of them give up.
 */
export class TooLateError extends Error {
  override readonly name = 'TooLateError';
}

export class Progress {
  private answeredAt = -Infinity;

  /** Begins a request; call `wait` for each of its commands. */
  begin(quietMs: number): { wait<T>(answer: Promise<T>): Promise<T> } {
    const since = performance.now();
    return { wait: (answer) => this.wait(answer, since, quietMs) };
  }

  /** Resolves with the answer, unless Redis has answered no request for `quietMs`. @throws TooLateError */
  private async wait<T>(answer: Promise<T>, since: number, quietMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const late = new Promise<never>((_, reject) => {
      const check = (): void => {
        if (isOver) return;
        const left = Math.max(since, this.answeredAt) + quietMs - performance.now();
        // If this process was busy, replies may wait to be read: read them before giving up.
        if (left > 0) timer = setTimeout(() => setImmediate(check), left);
        else reject(new TooLateError(`Redis has answered no request for ${quietMs} ms`));
      };
      check();
    });
    try {
      const result = await Promise.race([answer, late]);
      this.answeredAt = performance.now();
      return result;
    } finally {
      isOver = true;
      clearTimeout(timer);
    }
  }
}
