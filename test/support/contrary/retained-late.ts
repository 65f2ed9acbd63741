/**
 * A broker that delivers a retained message to live subscribers before a reader finds it: what a SUBSCRIBE brings is as old
 * as the lag. A connection of its own to the broker notes what was retained before each change.
 */
import { connectAsync, type MqttClient } from 'mqtt';
import type { IPublishPacket } from 'mqtt-packet';
import type { Behaviour, Delivery, Step } from './behaviour.js';
import { matches } from './filters.js';

interface Change {
  readonly at: number;
  /** The payload before the change; empty if there was none. */
  readonly before: Buffer;
}

export class RetainedHistory {
  private readonly payloads = new Map<string, Buffer>();
  private readonly changes = new Map<string, Change[]>();

  private constructor(
    private readonly client: MqttClient,
    private readonly lagMs: number,
  ) {}

  /** `filter`: the topics whose retained messages are readable late. */
  static async of(brokerUrl: string, filter: string, lagMs: number): Promise<RetainedHistory> {
    const client = await connectAsync(brokerUrl, { protocolVersion: 5, reconnectPeriod: 20 });
    const history = new RetainedHistory(client, lagMs);
    // Mosquitto sends what is retained after the SUBACK, and before a message that is published after it.
    const mark = `history/${client.options.clientId}`;
    await new Promise<void>((resolve, reject) => {
      let isLive = false;
      client.on('message', (topic, payload, packet: IPublishPacket) => {
        if (topic === mark) {
          isLive = true;
          resolve();
        } else if (packet.retain) history.note(topic, payload, isLive);
      });
      client
        .subscribeAsync({ [filter]: { qos: 1, rap: true, rh: 0 }, [mark]: { qos: 1 } })
        .then(() => client.publishAsync(mark, '', { qos: 1 }))
        .catch(reject);
    });
    return history;
  }

  /** A reader finds nothing on a topic whose retained message has changed within the lag. */
  readonly late: Behaviour = () => ({
    onRead: (delivery) => ({ ...delivery, steps: delivery.steps.filter((step) => this.change(step) === undefined) }),
  });

  /** What a reader finds is as old as the lag. A message that was removed within the lag is still found. */
  readonly stale: Behaviour = () => ({
    onRead: (delivery) => ({ ...delivery, steps: [...this.known(delivery), ...this.removed(delivery)] }),
  });

  /** Topics whose retained messages changed within the lag. */
  get changed(): string[] {
    return [...this.changes.keys()].filter((topic) => this.recent(topic).length > 0);
  }

  async stop(): Promise<void> {
    await this.client.endAsync(true);
  }

  private note(topic: string, payload: Buffer, isLive: boolean): void {
    const before = this.payloads.get(topic) ?? Buffer.alloc(0);
    this.payloads.set(topic, payload);
    if (isLive && !before.equals(payload))
      this.changes.set(topic, [...this.recent(topic), { at: performance.now(), before }]);
  }

  private recent(topic: string): Change[] {
    const since = performance.now() - this.lagMs;
    const recent = (this.changes.get(topic) ?? []).filter(({ at }) => at > since);
    if (recent.length === 0) this.changes.delete(topic);
    return recent;
  }

  /** The first change of this message within the lag. */
  private change(step: Step): Change | undefined {
    return typeof step === 'number' ? undefined : this.recent(step.topic)[0];
  }

  private known({ steps }: Delivery): Step[] {
    return steps.flatMap((step) => {
      const change = this.change(step);
      if (typeof step === 'number' || change === undefined) return [step];
      return change.before.length === 0 ? [] : [{ ...step, payload: change.before }];
    });
  }

  private removed({ filters, steps }: Delivery): Step[] {
    const found = new Set(steps.map((step) => (typeof step === 'number' ? '' : step.topic)));
    return [...this.changes.keys()].flatMap((topic) => {
      const [change] = this.recent(topic);
      if (change === undefined || change.before.length === 0 || found.has(topic)) return [];
      if (!filters.some((filter) => matches(filter, topic))) return [];
      return [{ cmd: 'publish', topic, payload: change.before, qos: 0, dup: false, retain: true } as const];
    });
  }
}
