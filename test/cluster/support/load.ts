/**
 * Clients that come, change, say goodbye and vanish, all the time; half of them speak MQTT 3.1.1. What the broker has
 * taken from each is noted in its order.
 */
import { TestClient, envelope } from '../../support/mqtt-client.js';
import type { Random } from '../../support/random.js';

export class Load {
  /** Handshake ids by client, in the order in which the broker acknowledged them. */
  readonly handshakes = new Map<string, string[]>();
  private readonly clients: Promise<void>[] = [];
  private going = true;
  private resume: () => void = () => undefined;
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

  /** Resolves when nothing is under way any more; clients stay connected. */
  async pause(): Promise<void> {
    this.paused = new Promise((resolve) => (this.resume = resolve));
    while (this.idle < this.count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  goOn(): void {
    this.paused = undefined;
    this.resume();
  }

  /** What has been acknowledged so far does not count any more. Only while it pauses. */
  forget(): void {
    for (const id of this.handshakes.keys()) this.handshakes.set(id, []);
  }

  async stop(): Promise<void> {
    this.going = false;
    this.goOn();
    await Promise.all(this.clients);
  }

  private async live(id: string, version: 4 | 5): Promise<void> {
    let n = 0;
    let client = await TestClient.connect(this.brokerUrl, id, version);
    while (this.going) {
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
        const gone = new Promise<void>((resolve) => client.mqtt.once('close', () => resolve()));
        client.vanish();
        await gone;
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
