/**
 * Clients that connect, change their facts, say goodbye and vanish, all the time. Half of them speak MQTT 3.1.1. The handshakes
 * that the broker has acknowledged are recorded for each client, in order.
 */
import { TestClient, envelope } from '../../support/mqtt-client.js';
import type { Random } from '../../support/random.js';

export class Load {
  /** Handshake ids by client, in the order in which the broker acknowledged them. */
  readonly handshakes = new Map<string, string[]>();
  private readonly clients: Promise<void>[] = [];
  private running = true;
  private endPause: () => void = () => undefined;
  private paused: Promise<void> | undefined;
  private idle = 0;

  constructor(
    private readonly brokerUrl: string,
    private readonly random: Random,
    readonly count: number,
  ) {}

  start(): void {
    for (let i = 0; i < this.count; i++) {
      const id = `client-${i}`;
      this.handshakes.set(id, []);
      this.clients.push(this.live(id, i % 2 === 0 ? 4 : 5));
    }
  }

  /** Resolves when no publish is pending. The clients stay connected. */
  async pause(): Promise<void> {
    this.paused = new Promise((resolve) => (this.endPause = resolve));
    while (this.idle < this.count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  resume(): void {
    this.paused = undefined;
    this.endPause();
  }

  /** Removes the handshakes recorded so far. Must be called during a pause. */
  forgetHandshakes(): void {
    for (const id of this.handshakes.keys()) this.handshakes.set(id, []);
  }

  async stop(): Promise<void> {
    this.running = false;
    this.resume();
    await Promise.all(this.clients);
  }

  private async live(id: string, version: 4 | 5): Promise<void> {
    let n = 0;
    let client = await TestClient.connect(this.brokerUrl, id, version);
    while (this.running) {
      if (this.paused !== undefined) {
        this.idle++;
        await this.paused;
        this.idle--;
        continue;
      }
      await this.shakeHands(client, `${id}/${n++}`);
      const dice = this.random.below(10);
      if (dice === 0) await client.sayGoodbye();
      else if (dice === 1) {
        const closed = new Promise<void>((resolve) => client.mqtt.once('close', () => resolve()));
        client.vanish();
        await closed;
      }
      if (dice <= 1) client = await TestClient.connect(this.brokerUrl, id, version);
      await new Promise((resolve) => setTimeout(resolve, 20 + this.random.below(100)));
    }
    await client.mqtt.endAsync();
  }

  private async shakeHands(client: TestClient, messageId: string): Promise<void> {
    const facts = { canonical_facts: { fqdn: `${messageId}.example.com` } };
    await client.publish(envelope('host-handshake', { message_id: messageId, payload: facts }), true);
    this.handshakes.get(client.id)?.push(messageId);
  }
}
