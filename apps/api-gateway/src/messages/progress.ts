/**
 * Distinguishes a Redis that is busy from one that is away: as long as it answers any request, the others keep waiting. When it
 * has answered none for a while, all of them give up.
 */
export class TooLateError extends Error {
  override readonly name = 'TooLateError';
}

export class Progress {
  private answeredAt = -Infinity;

  /** For a request that begins now: `wait` applies to each of its commands. */
  begin(quietMs: number): { wait<T>(answer: Promise<T>): Promise<T> } {
    const since = performance.now();
    return { wait: (answer) => this.wait(answer, since, quietMs) };
  }

  /** Resolves with the answer, unless Redis has answered no request for `quietMs`. @throws TooLateError */
  private async wait<T>(answer: Promise<T>, since: number, quietMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    const late = new Promise<never>((_, reject) => {
      const look = (): void => {
        if (settled) return;
        const left = Math.max(since, this.answeredAt) + quietMs - performance.now();
        // If this process itself was busy, answers may wait to be read: read them first.
        if (left > 0) timer = setTimeout(() => setImmediate(look), left);
        else reject(new TooLateError(`Redis has answered no request for ${quietMs} ms`));
      };
      look();
    });
    try {
      const result = await Promise.race([answer, late]);
      this.answeredAt = performance.now();
      return result;
    } finally {
      settled = true;
      clearTimeout(timer);
    }
  }
}
