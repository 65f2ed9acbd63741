/**
 * Tells a Redis that is busy from one that is away: as long as it answers anybody, those who wait for their turn go on
 * waiting. Only when it has answered nobody for a while, they give up.
 */
export class TooLateError extends Error {
  override readonly name = 'TooLateError';
}

export class Progress {
  private answeredAt = -Infinity;

  /** The patience of one who begins to wait now, for all that it waits for. */
  begin(quietMs: number): { wait<T>(answer: Promise<T>): Promise<T> } {
    const since = performance.now();
    return { wait: (answer) => this.wait(answer, since, quietMs) };
  }

  /** What the promise resolves with, unless nobody has been answered for so long. @throws TooLateError */
  private async wait<T>(answer: Promise<T>, since: number, quietMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    const late = new Promise<never>((_, reject) => {
      const look = (): void => {
        if (settled) return;
        const left = Math.max(since, this.answeredAt) + quietMs - performance.now();
        // A process that was busy itself reads the answers that have come before it gives up.
        if (left > 0) timer = setTimeout(() => setImmediate(look), left);
        else reject(new TooLateError(`Redis has answered nobody for ${quietMs} ms`));
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
