import type { LaneItem } from './lane-item.js';

/**
 * The deliveries of a lane that a mailbox has, so that its owner leaves out redeliveries of them. After a reconnect a broker may
 * redeliver a whole backlog, so they are read from Redis once, and kept while redeliveries come. Nobody else appends deliveries
 * of the lane; the append script refuses a batch that was compared with others than Redis has.
 */
export class KnownDeliveries {
  /** The digest of the last delivery with each id. The broker reuses ids: only the last one counts. */
  private readonly digests = new Map<string, string>();

  constructor(
    private lastSequence: number,
    names: readonly string[],
    /** How many of them count: as many as Redis keeps. */
    private readonly most: number,
  ) {
    for (const name of names) this.add(name);
  }

  /** The sequence number of the last batch among them. */
  get sequence(): number {
    return this.lastSequence;
  }

  isRepeat({ delivery = '', isRedelivery = false }: LaneItem): boolean {
    if (!isRedelivery || delivery === '') return false;
    const [id, digest] = parts(delivery);
    return this.digests.get(id) === digest;
  }

  /** Call it when a batch with these items was appended. */
  appended(sequence: number, items: readonly LaneItem[]): void {
    for (const { delivery = '' } of items) if (delivery !== '') this.add(delivery);
    this.lastSequence = sequence;
  }

  private add(name: string): void {
    const [id, digest] = parts(name);
    this.digests.delete(id);
    this.digests.set(id, digest);
    const [oldest] = this.digests.keys();
    if (this.digests.size > this.most && oldest !== undefined) this.digests.delete(oldest);
  }
}

function parts(name: string): [id: string, digest: string] {
  const dot = name.indexOf('.');
  return [name.slice(0, dot), name.slice(dot + 1)];
}
