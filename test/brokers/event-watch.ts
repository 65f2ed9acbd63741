/** Follows the event stream of a whole run, and knows which clients were rightly offline at which time. */
import { EventListener } from '../support/event-listener.js';

/** From when until when a client may go offline, epoch milliseconds. */
interface Interruption {
  from: number;
  until: number;
}

export class EventWatch {
  private readonly interruptions = new Map<string, Interruption[]>();

  private constructor(private readonly listener: EventListener) {}

  static async open(gatewayUrl: string): Promise<EventWatch> {
    return new EventWatch(await EventListener.open(gatewayUrl));
  }

  get count(): number {
    return this.listener.received.length;
  }

  /** Calls `interrupt`, which ends connections of these clients; they may go offline until it has resolved. */
  async during(ids: readonly string[], interrupt: () => Promise<void>): Promise<void> {
    const interruption = { from: Date.now(), until: Infinity };
    for (const id of ids) this.interruptions.set(id, [...(this.interruptions.get(id) ?? []), interruption]);
    await interrupt();
    interruption.until = Date.now();
  }

  /** @returns each `connection.offline` of a client whose connection had not ended, and each gap */
  faults(): string[] {
    const { received, ended, broken } = this.listener;
    const wrong = received.filter(
      ({ event, data }) =>
        event === 'gap' || (event === 'connection.offline' && !this.mayBeOffline(data as unknown as OfflineEvent)),
    );
    return [...wrong.map((one) => JSON.stringify(one)), ...(ended || broken ? ['the event stream has ended'] : [])];
  }

  /** How many events of each type came, after the first `start`. */
  types(start = 0): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { event } of this.listener.received.slice(start)) counts[event] = (counts[event] ?? 0) + 1;
    return counts;
  }

  /** The events of clients, after the first `start` events. */
  ofConnections(start: number): string[] {
    const events = this.listener.received.slice(start).filter(({ event }) => event.startsWith('connection.'));
    return events.map((one) => JSON.stringify(one));
  }

  /** What each sweep found that has ended, after the first `start` events. */
  sweeps(start: number): string[] {
    const ended = this.listener.received.slice(start).filter(({ event }) => event === 'sweep.ended');
    return ended.map(({ data }) => {
      const { trigger, complete, read, corrections } = data as unknown as SweepEndedEvent;
      return `${trigger}: ${complete ? 'complete' : 'incomplete'}, ${read} read, corrected ${JSON.stringify(corrections)}`;
    });
  }

  close(): void {
    this.listener.close();
  }

  private mayBeOffline({ client_id, at }: OfflineEvent): boolean {
    const ms = Date.parse(at);
    return (this.interruptions.get(client_id) ?? []).some(({ from, until }) => from <= ms && ms <= until);
  }
}

interface OfflineEvent {
  client_id: string;
  at: string;
}

interface SweepEndedEvent {
  trigger: string;
  complete: boolean;
  read: number;
  corrections: Record<string, number>;
}
