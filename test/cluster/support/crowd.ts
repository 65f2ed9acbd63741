/** Many clients that connect at the same time, send handshakes, and lose their connections at the same time. */
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
    /** Gets the acknowledged handshakes of each client, in order. */
    private readonly handshakes: Map<string, string[]>,
    count: number,
  ) {
    this.process = fork(join(__dirname, 'crowd-process.mjs'), [brokerUrl, `${count}`]);
  }

  /** All clients connect, and each sends this number of handshakes one after another. Resolves when all are acknowledged. */
  async connect(handshakes: number): Promise<void> {
    for (const [client, ids] of await this.ask({ connect: handshakes, visit: this.visits++ })) {
      this.handshakes.set(client, [...(this.handshakes.get(client) ?? []), ...ids]);
    }
  }

  /** Ends all connections without DISCONNECT: the broker publishes all last wills. */
  async vanish(): Promise<void> {
    await this.ask({ vanish: true });
  }

  /** Ends the process of the clients, and so their connections. */
  async stop(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.process.once('exit', () => resolve()));
    this.process.kill('SIGKILL');
    await ended;
  }

  /** One request at a time. */
  private ask(request: object): Promise<NonNullable<Answer['acknowledged']>> {
    return new Promise((resolve, reject) => {
      const failed = (code: number | null): void => reject(new Error(`the crowd's process ended (${code})`));
      this.process.once('exit', failed);
      this.process.once('message', ({ acknowledged, error }: Answer) => {
        this.process.off('exit', failed);
        if (acknowledged === undefined) reject(new Error(error));
        else resolve(acknowledged);
      });
      this.process.send(request);
    });
  }
}
