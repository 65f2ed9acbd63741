/** A subscriber to the event stream as an independent party would write it: fetch, and the standard's line format. */
import { waitUntil } from '../../scripts/stack.mjs';
import { EventText, type SseEvent } from './event-text.js';

export type { SseEvent };

export class EventListener extends EventText {
  ended = false;
  /** Whether its connection broke, without an end. */
  broken = false;
  private mayTake = Infinity;
  private wake: (() => void) | undefined;

  private constructor(private readonly stopping: AbortController) {
    super();
  }

  static async open(
    url: string,
    query: Record<string, string> = {},
    lastEventId?: string,
    credentials?: string,
  ): Promise<EventListener> {
    const stopping = new AbortController();
    const response = await fetch(`${url}/v1/events?${new URLSearchParams(query).toString()}`, {
      headers: {
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
        ...(credentials !== undefined && { authorization: `Bearer ${credentials}` }),
      },
      signal: stopping.signal,
    });
    const type = response.headers.get('content-type') ?? '';
    if (response.status !== 200 || !type.startsWith('text/event-stream') || response.body === null) {
      throw new Error(`${response.status} ${type}: ${await response.text()}`);
    }
    const listener = new EventListener(stopping);
    void listener.listen(response.body);
    await listener.until('the stream has begun', () => {
      if (listener.lastId === '') throw new Error('the stream has not begun');
    });
    return listener;
  }

  /** Events of one client. */
  of(clientId: string): SseEvent[] {
    return this.received.filter(({ data }) => data['client_id'] === clientId);
  }

  /** Repeats `check` until it no longer throws. Gives up after 60 s; the error then names `what`. */
  async until(what: string, check: () => void): Promise<void> {
    await waitUntil(check, { what });
  }

  /** Takes about so many bytes more, and then nothing until the next call: the socket fills up. */
  take(bytes: number): void {
    this.mayTake = bytes;
    this.wake?.();
  }

  close(): void {
    this.take(Infinity);
    this.stopping.abort();
  }

  private async listen(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body) {
        this.mayTake -= chunk.length;
        this.readText(decoder.decode(chunk, { stream: true }));
        while (this.mayTake <= 0) await new Promise<void>((resolve) => (this.wake = resolve));
      }
      this.ended = true;
    } catch (error) {
      if (this.stopping.signal.aborted) return;
      // As undici says it when the other side has gone; the class is that of another realm.
      if ((error as Error).name !== 'TypeError') throw error;
      this.broken = true;
    }
  }
}
