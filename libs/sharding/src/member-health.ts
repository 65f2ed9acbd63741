/**
 * Whether a member can do the work it would be given. A member that sends heartbeats but does not reach the broker, or one of
 * the masters of a Redis Cluster, would keep its shards and lanes and serve nobody. So it gives them to a fit member, but only
 * after a while, and only if there is one: trouble that all members have moves nothing.
 */

/**
 * - `fit`: nothing has troubled it for a while;
 * - `troubled`: something does, or did a moment ago;
 * - `unfit`: trouble has lasted while another was fit; until it is over, everything goes to others if there are any.
 */
export type MemberHealth = 'fit' | 'troubled' | 'unfit';

export class MemberHealthWatch {
  private state: MemberHealth = 'fit';
  /** When the present trouble began, or the present time without any. */
  private since: number | undefined;
  private wasTroubled = false;

  /** @param patienceMs how long trouble lasts before it counts, and how long it is remembered */
  constructor(private readonly patienceMs: number) {}

  get current(): MemberHealth {
    return this.state;
  }

  /** Notes how it stands at a time of `performance.now`. `othersFit`: whether another member is fit. */
  note(troubled: boolean, othersFit: boolean, now: number): void {
    if (troubled !== this.wasTroubled) this.since = undefined;
    this.wasTroubled = troubled;
    this.since ??= now;
    const lasting = now - this.since >= this.patienceMs;
    if (!troubled) this.state = lasting || this.state === 'fit' ? 'fit' : 'troubled';
    else if (this.state !== 'unfit') this.state = lasting && othersFit ? 'unfit' : 'troubled';
  }

  /** It takes no part for now: how long trouble has lasted is counted from zero again. */
  interrupted(): void {
    this.since = undefined;
  }
}
