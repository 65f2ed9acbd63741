/**
 * A device that answers every message at once. A message that comes again is not done again: the same answer is sent again, with
 * the same id (rule 4 of the protocol).
 */
import { randomUUID } from 'node:crypto';
import { TestClient, envelope, type ReceivedMessage } from '../../support/mqtt-client.js';

/** The id and the payload of an answer. */
export interface GivenAnswer {
  message_id: string;
  payload: { of: string; asked: unknown };
}

export class AnsweringDevice {
  /** Answers of which the broker has sent the PUBACK, by the id of their message. */
  readonly acknowledged = new Map<string, GivenAnswer>();
  /** The first answer to each message. */
  private readonly answers = new Map<string, GivenAnswer>();
  private readonly publishes: Promise<void>[] = [];

  private constructor(
    readonly client: TestClient,
    private readonly beforeAnswer: (messageId: string) => Promise<void> | void,
  ) {
    client.mqtt.on('message', (_topic, data) => {
      const message = JSON.parse(data.toString()) as ReceivedMessage;
      if (message.type === 'message') this.publishes.push(this.answer(message));
    });
  }

  /** `beforeAnswer` is called with each message at once; its answer is published afterwards. */
  static async connect(
    url: string,
    id: string,
    beforeAnswer: (messageId: string) => Promise<void> | void,
  ): Promise<AnsweringDevice> {
    const device = new AnsweringDevice(await TestClient.connect(url, id), beforeAnswer);
    await device.client.shakeHands();
    return device;
  }

  get id(): string {
    return this.client.id;
  }

  /** What has arrived, repeats included. */
  get received(): readonly ReceivedMessage[] {
    return this.client.received.filter(({ type }) => type === 'message');
  }

  /** Until the broker has acknowledged every answer so far. */
  async untilAcknowledged(): Promise<void> {
    await Promise.all(this.publishes);
  }

  private async answer({ message_id: of, payload: asked }: ReceivedMessage): Promise<void> {
    await this.beforeAnswer(of);
    const answer = this.answers.get(of) ?? { message_id: randomUUID(), payload: { of, asked } };
    this.answers.set(of, answer);
    await this.client.publish(envelope('message-response', { ...answer, in_response_to: of }), false);
    this.acknowledged.set(of, answer);
  }
}
