/** A subscriber to an event feed, without HTTP: what it got, read as the standard for event streams says. */
import type { EventSubscription } from '../../apps/api-gateway/src/events/event-subscription.js';

/** What it got. */
export interface Told {
  id: string | undefined;
  event: string;
  data: Record<string, unknown>;
}

export class FeedListener {
  readonly told: Told[] = [];
  lastId = '';
  closed = false;
  private rest = '';

  constructor(readonly stream: EventSubscription) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => this.read(text));
    stream.on('end', () => (this.closed = true));
  }

  get numbers(): unknown[] {
    return this.told.filter(({ data }) => 'n' in data).map(({ data }) => data['n']);
  }

  get events(): string[] {
    return this.told.map(({ event }) => event);
  }

  /** Shards for which it got a `gap`. */
  get gaps(): unknown[] {
    return this.told.filter(({ event }) => event === 'gap').map(({ data }) => data['shard']);
  }

  private read(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => line.split(/: ?(.*)/s, 2) as [string, string]));
      this.lastId = fields.get('id') ?? this.lastId;
      const data = fields.get('data');
      if (data === undefined) continue;
      const parsed = JSON.parse(data) as Told['data'];
      this.told.push({ id: fields.get('id'), event: fields.get('event') ?? '', data: parsed });
    }
  }
}
