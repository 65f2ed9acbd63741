/** Replies of a shard's owner to commands. Each caller has its own pub/sub channel, and each command has an id. */
import type { Logger, Redis } from '@app/platform';
import type { ConnectionState, OfflineReason } from '../connection-state.js';

export type CommandOutcome =
  | { kind: 'done' }
  /** A verification was applied. `isUnproven`: nothing was read, and the broker cannot prove that it retains nothing. */
  | {
      kind: 'verified';
      state: ConnectionState;
      offlineReason: OfflineReason | null;
      changed: boolean;
      isUnproven?: boolean;
    }
  /** The client never registered. */
  | { kind: 'unknown' }
  /** The command is not possible in the connection's current state. */
  | { kind: 'conflict'; details: string };

export async function sendReply(
  redis: Redis,
  reply: { channel: string; id: string },
  outcome: CommandOutcome,
): Promise<void> {
  await redis.publish(reply.channel, JSON.stringify({ id: reply.id, outcome }));
}

/** The caller's side. It alone uses the given subscriber connection. */
export class CommandReplies {
  private readonly waiting = new Map<string, (outcome: CommandOutcome) => void>();

  constructor(
    private readonly subscriber: Redis,
    readonly channel: string,
    private readonly logger: Logger,
  ) {
    subscriber.on('message', (_channel: string, text: string) => this.onMessage(text));
  }

  async start(): Promise<void> {
    await this.subscriber.subscribe(this.channel);
  }

  /** Resolves with the owner's reply, or undefined if none arrives in `timeoutMs`. Call it before sending the command. */
  expect(id: string, timeoutMs: number): Promise<CommandOutcome | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        resolve(undefined);
      }, timeoutMs);
      this.waiting.set(id, (outcome) => {
        clearTimeout(timer);
        this.waiting.delete(id);
        resolve(outcome);
      });
    });
  }

  private onMessage(text: string): void {
    try {
      const { id, outcome } = JSON.parse(text) as { id: string; outcome: CommandOutcome };
      this.waiting.get(id)?.(outcome);
    } catch (error) {
      this.logger.warn({ err: error, channel: this.channel }, 'ignoring a command reply that cannot be parsed');
    }
  }
}
