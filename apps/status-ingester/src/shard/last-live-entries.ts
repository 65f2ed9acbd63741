/**
 * When a shard's clients were last heard live: for each the last mailbox entry that bears on its state. With it an
 * answer of the broker is judged: it counts only if nothing of that client stands behind the id that was noted before
 * the broker was asked (V1). Bounded, and begins with the grant: what it does not reach back to is unknown.
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
