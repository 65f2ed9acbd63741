/** A subscriber to the event stream as an independent party would write it: fetch, and the standard's line format. */
import { waitUntil } from '../../scripts/stack.mjs';

export interface ToldEvent {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

export class EventListener {
  readonly told: ToldEvent[] = [];
  /** As a browser would remember it. */
  lastId = '';
  /** Comments, which only show that the stream lives. */
  beats = 0;
  ended = false;
  /** Whether its connection broke, without an end. */
  broken = false;
  private mayTake = Infinity;
  private wake: (() => void) | undefined;

  private constructor(private readonly stopping: AbortController) {}

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
    await listener.until(() => {
      if (listener.lastId === '') throw new Error('the stream has not begun');
    });
    return listener;
  }

  /** Events of one client. */
  of(clientId: string): ToldEvent[] {
    return this.told.filter(({ data }) => data['client_id'] === clientId);
  }

  /** Waits until the check throws no more. */
  async until(check: () => void): Promise<void> {
    await waitUntil(check, { what: 'the events', timeoutMs: 20_000 });
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
    let rest = '';
    try {
      for await (const chunk of body) {
        this.mayTake -= chunk.length;
        const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.read(block);
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

  private read(block: string): void {
    let event = 'message';
    let data = '';
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      const value = line.slice(colon + 1).replace(/^ /, '');
      if (colon === 0) this.beats++;
      if (line.startsWith('id:')) this.lastId = value;
      if (line.startsWith('event:')) event = value;
      if (line.startsWith('data:')) data += value;
    }
    if (data !== '') this.told.push({ id: this.lastId, event, data: JSON.parse(data) as ToldEvent['data'] });
  }
}
