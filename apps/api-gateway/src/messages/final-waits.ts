/**
 * Requests that wait for a message to be final, as `Prefer: wait=N` asks for. The gateway is registered with the message first, and
 * the message is read then. It is read again when it is reported, when the subscription was lost, and at the end of the wait.
 */
import type { ServerResponse } from 'node:http';
import { isRedisError, type Logger } from '@app/platform';
import { isFinalStatus, type FinalMessages, type Messages, type StoredMessage } from '@app/registry';
import type { Caller } from '../access/caller.js';
import type { Wait, WaitEnd, WaitEvent, Waits } from './waits.js';

/** After a read that has failed, a message is read again after this time, in milliseconds. */
const READ_AGAIN_MS = 1000;

/** How a wait ended. `read`: the message as it is now, final or not; undefined if it is not kept any more. */
export type WaitResult = { kind: 'read'; message: StoredMessage | undefined } | { kind: Exclude<WaitEnd, 'deadline'> };

export class FinalWaits {
  /** Reads that began in this turn, by message and account. */
  private readonly begun = new Map<string, Promise<StoredMessage | undefined>>();

  constructor(
    private readonly waits: Waits,
    private readonly finals: Pick<FinalMessages, 'gatewayId' | 'start'>,
    private readonly messages: Pick<Messages, 'read' | 'register'>,
    private readonly logger: Logger,
  ) {}

  /** Number of requests that wait. */
  get size(): number {
    return this.waits.size;
  }

  start(): Promise<void> {
    return this.finals.start(this.waits);
  }

  stop(): void {
    this.waits.stop();
  }

  /** @returns undefined if the request does not wait; otherwise close the wait */
  begin(caller: Caller, seconds: number | undefined, response: ServerResponse): Wait | undefined {
    if (seconds === undefined || !caller.scopes.has('messages:read')) return undefined;
    return this.waits.begin(caller, seconds, response);
  }

  /** For the script that accepts the message of the request. */
  registration(wait: Wait): { gatewayId: string; onMinted(messageId: string): void } {
    return { gatewayId: this.finals.gatewayId, onMinted: (id) => this.waits.follow(wait, id) };
  }

  /** Registers the gateway with a stored message. @returns `full`: too many gateways wait for it, so the request does not */
  async register(wait: Wait, messageId: string): Promise<'registered' | 'unknown' | 'full'> {
    this.waits.follow(wait, messageId);
    const outcome = await this.messages.register(messageId, this.finals.gatewayId, wait.caller.account);
    if (outcome === 'full') this.waits.countRefused('message');
    return outcome;
  }

  /** Waits until the message is final, or the wait is over. `readFirst`: it may be final already. @throws if it cannot be read at the deadline */
  async untilFinal(wait: Wait, messageId: string, { readFirst }: { readFirst: boolean }): Promise<WaitResult> {
    if (readFirst) wait.report();
    for (;;) {
      const event = await wait.next();
      if (event !== 'final' && event !== 'deadline') return this.end(wait, event, { kind: event });
      try {
        const message = await this.read(messageId, wait.caller.account);
        if (message === undefined || isFinalStatus(message.status))
          return this.end(wait, 'final', { kind: 'read', message });
        if (event === 'deadline') return this.end(wait, event, { kind: 'read', message });
      } catch (error) {
        if (event === 'deadline' || !isRedisError(error)) throw error;
        setTimeout(() => wait.report(), READ_AGAIN_MS).unref();
        this.logger.debug(
          { err: error, message_id: messageId },
          'a message that a request waits for could not be read',
        );
      }
    }
  }

  close(wait: Wait): void {
    this.waits.close(wait);
  }

  /** A report wakes all requests that wait for the message: they share one read. A later event leads to another one. */
  private read(messageId: string, account: string | undefined): Promise<StoredMessage | undefined> {
    const key = `${messageId} ${account ?? ''}`;
    const begun = this.begun.get(key);
    if (begun !== undefined) return begun;
    const read = this.messages.read(messageId, account);
    this.begun.set(key, read);
    process.nextTick(() => this.begun.delete(key));
    return read;
  }

  private end(wait: Wait, by: WaitEvent, result: WaitResult): WaitResult {
    this.waits.close(wait, by);
    return result;
  }
}
