/** Durations and counts of a run, which are printed and not asserted. */
export class Figures {
  private readonly lines: string[] = [];

  constructor(private readonly about: string) {}

  async time<T>(what: string, run: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await run();
    } finally {
      this.note(what, `${((performance.now() - started) / 1000).toFixed(1)} s`);
    }
  }

  note(what: string, value: string | number | object): void {
    this.lines.push(`  ${what}: ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  }

  print(): void {
    process.stdout.write(`${this.about}\n${this.lines.join('\n')}\n`);
  }
}
