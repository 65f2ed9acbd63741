/** Many clients that come all at once, shake hands, and are cut all at once. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

interface Answer {
  acknowledged?: [client: string, messageIds: string[]][];
  error?: string;
}

export class Crowd {
  private readonly process: ChildProcess;
  private visits = 0;

  constructor(
    brokerUrl: string,
    /** Where handshakes are noted, by client, in the order in which the broker acknowledged them. */
    private readonly handshakes: Map<string, string[]>,
    count: number,
  ) {
    this.process = fork(join(__dirname, 'crowd-process.mjs'), [brokerUrl, `${count}`]);
  }

  /** Everybody connects and shakes hands so many times, one handshake after the other; resolves when all have. */
  async come(times: number): Promise<void> {
    for (const [client, ids] of await this.ask({ come: times, visit: this.visits++ })) {
      this.handshakes.set(client, [...(this.handshakes.get(client) ?? []), ...ids]);
    }
  }

  /** Every connection is gone without a goodbye: the broker publishes all last wills. */
  async vanish(): Promise<void> {
    await this.ask({ vanish: true });
  }

  /** Ends the process, and with it the connections. */
  async stop(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.process.once('exit', () => resolve()));
    this.process.kill('SIGKILL');
    await ended;
  }

  /** One question at a time. */
  private ask(question: object): Promise<NonNullable<Answer['acknowledged']>> {
    return new Promise((resolve, reject) => {
      const failed = (code: number | null): void => reject(new Error(`the crowd's process ended (${code})`));
      this.process.once('exit', failed);
      this.process.once('message', ({ acknowledged, error }: Answer) => {
        this.process.off('exit', failed);
        if (acknowledged === undefined) reject(new Error(error));
        else resolve(acknowledged);
      });
      this.process.send(question);
    });
  }
}
