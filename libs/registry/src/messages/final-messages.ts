/**
 * Reports messages that have become final, to the gateways that wait for them. Each gateway has its own pub/sub channel. The
 * script that makes a message final publishes its id, and nothing else, to the channels of the gateways that the message names.
 */
import { randomBytes } from 'node:crypto';
import type { Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

export interface FinalMessagesListener {
  /** The message is final. */
  onFinal(messageId: string): void;
  /** The channel has its subscriber again. Any message may have become final in the meantime. */
  onSubscribedAgain(): Promise<void>;
}

/** One gateway's side. It alone uses the given subscriber connection. */
export class FinalMessages {
  /** Messages name the gateway by it; a gateway that starts again has another one. */
  readonly gatewayId = randomBytes(9).toString('base64url');
  private readonly channel: string;

  constructor(
    private readonly subscriber: Redis,
    keys: RegistryKeys,
  ) {
    this.channel = keys.finalMessages(this.gatewayId);
  }

  /** Resolves when the channel has its subscriber. */
  async start(listener: FinalMessagesListener): Promise<void> {
    this.subscriber.on('message', (_channel: string, id: string) => listener.onFinal(id));
    await this.subscriber.subscribe(this.channel);
    const again = (): void => {
      // The client subscribes again by itself as well, and does not say when it has.
      this.subscriber.subscribe(this.channel).then(
        () => void listener.onSubscribedAgain(),
        // The connection has broken again, or is closed.
        () => undefined,
      );
    };
    // On a Redis Cluster the client moves the subscription to another node if its node leaves.
    for (const event of ['ready', '-node']) this.subscriber.on(event, again);
  }
}
