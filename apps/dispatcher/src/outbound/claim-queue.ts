/**
 * The messages of one connection that its owner has claimed, in order: one is being published, the others are claimed ahead. Each
 * is published after the PUBACK of the one before. If that one is not sent, nothing that follows is published any more.
 */
import type { ClaimedMessage } from '@app/registry';

/** If so few messages are left of a connection that has more, the owner claims further ones. */
const CLAIM_MORE_AT = 8;

export class ClaimQueue {
  readonly clientId: string;
  /** Whether the connection has a permit. One of which everything is published has none any more. */
  permit: 'none' | 'requested' | 'held' = 'none';
  private readonly ahead: ClaimedMessage[];
  private publishing: ClaimedMessage | undefined;
  private isFollowed: boolean;
  private isBusy = false;
  private isStopped = false;

  constructor(first: ClaimedMessage) {
    this.clientId = first.clientId;
    this.ahead = [first];
    this.isFollowed = first.isFollowed;
  }

  /** Takes the message that is to be published now; undefined if there is none. */
  next(): ClaimedMessage | undefined {
    if (this.permit !== 'held' || this.isPublishing || this.isStopped) return undefined;
    this.publishing = this.ahead.shift();
    return this.publishing;
  }

  /** A publish has its result. Unless the message was sent, the queue is stopped. */
  completed(wasSent: boolean): void {
    this.publishing = undefined;
    if (!wasSent) this.stop();
  }

  /** Nothing more is published: what is left goes back with the next step that completes a result of the connection. */
  stop(): void {
    this.isStopped = true;
  }

  /** A message that was claimed behind the others. */
  append(message: ClaimedMessage): void {
    this.ahead.push(message);
    this.isFollowed = message.isFollowed;
    this.isBusy = true;
  }

  /** Another message waits behind those that are claimed. */
  followed(): void {
    this.isFollowed = true;
  }

  /** Whether the message is in the queue. If so, the later attempt counts. */
  knows({ messageId, attempt }: ClaimedMessage): boolean {
    const known = [this.publishing, ...this.ahead].find((one) => one?.messageId === messageId);
    if (known !== undefined) known.attempt = Math.max(known.attempt, attempt);
    return known !== undefined;
  }

  get isPublishing(): boolean {
    return this.publishing !== undefined;
  }

  /** The id of the last message that is not completed; undefined if nothing more is published. */
  get lastClaimed(): string | undefined {
    if (this.isStopped && !this.isPublishing) return undefined;
    return (this.ahead.at(-1) ?? this.publishing)?.messageId;
  }

  /** Whether the results of the connection should be completed at once, since it waits for that, or soon would. */
  get needsStep(): boolean {
    if (this.isStopped) return !this.isPublishing;
    if (!this.isPublishing && this.ahead.length === 0) return this.isFollowed || this.isBusy;
    return this.isFollowed && this.ahead.length <= CLAIM_MORE_AT;
  }
}
