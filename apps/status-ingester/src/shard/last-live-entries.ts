/**
 * The last mailbox entry of each client of a shard that came live and bears on its state. A reading of retained
 * messages counts only if no such entry stands behind the id that was noted before the broker was asked (V1). Bounded;
 * it begins with the grant, so that anything older is unknown.
 */
import { isAfter } from '@app/sharding';

export interface ReadonlyLastLiveEntries {
  /** `unknown`: the marks do not reach back to `noted`. */
  sinceNoted(clientId: string, noted: string): 'nothing' | 'something' | 'unknown';
}

const MOST = 20_000;

export class LastLiveEntries implements ReadonlyLastLiveEntries {
  /** In the order of their entries. */
  private readonly entries = new Map<string, string>();

  constructor(
    /** Entries up to this one are not known. */
    private from: string,
    private readonly most = MOST,
  ) {}

  note(clientId: string, entry: string): void {
    this.entries.delete(clientId);
    this.entries.set(clientId, entry);
    if (this.entries.size <= this.most) return;
    const [oldest] = this.entries;
    if (oldest === undefined) return;
    this.entries.delete(oldest[0]);
    this.from = oldest[1];
  }

  sinceNoted(clientId: string, noted: string): 'nothing' | 'something' | 'unknown' {
    const entry = this.entries.get(clientId);
    if (entry !== undefined && isAfter(entry, noted)) return 'something';
    return isAfter(this.from, noted) ? 'unknown' : 'nothing';
  }
}
