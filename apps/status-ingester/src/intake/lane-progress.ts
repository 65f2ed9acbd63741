/**
 * Whether a connection of a lane brings anything new. A broker that cannot resume the session may deliver the same packets on
 * each connection, and not every broker marks them with DUP or keeps their packet ids. So packets are known by their content.
 * Contents are remembered for the first `window` packets of a connection only: the broker sends more than that only after it has
 * received PUBACKs. If contents are too many, the oldest are forgotten.
 */
import { createHash } from 'node:crypto';
import type { IntakePacket } from '@app/broker';

export class LaneProgress {
  private readonly known = new Set<string>();
  private count = 0;
  private isNew = false;

  constructor(private readonly window: number) {}

  /** Whether the present connection has brought a packet that no earlier one had brought. */
  get hasProgressed(): boolean {
    return this.isNew;
  }

  connecting(): void {
    this.count = 0;
    this.isNew = false;
  }

  stored(packets: readonly IntakePacket[]): void {
    for (const packet of packets) {
      if (++this.count > this.window) {
        this.isNew = true;
        return;
      }
      const isKnown = this.remember(digestOf(packet));
      this.isNew ||= !isKnown && !packet.dup;
    }
  }

  /** @returns whether it was known */
  private remember(digest: string): boolean {
    if (this.known.has(digest)) return true;
    this.known.add(digest);
    const [oldest] = this.known;
    if (this.known.size > this.window && oldest !== undefined) this.known.delete(oldest);
    return false;
  }
}

function digestOf({ topic, payload }: IntakePacket): string {
  // A topic contains no null character.
  return createHash('sha256').update(topic).update('\0').update(payload).digest('base64');
}
