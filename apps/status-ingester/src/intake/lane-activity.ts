/**
 * When a lane last received something by each filter: shows the lane watch whether the lane may be stalled, and when a quiet one
 * is to be checked. Without a clock of its own.
 */
import type { IntakePacket } from '@app/broker';
import { backoffMs } from '@app/platform';
import type { TopicTemplate } from '@app/protocol';

export interface QuietTiming {
  /** A lane that received nothing by a filter for this time is checked; half of it at least, so that lanes take turns. */
  quietMs: number;
  /** The time doubles with each check, up to this. */
  longestQuietMs: number;
}

export class LaneActivity {
  private readonly receivedAt = new Map<TopicTemplate, number>();
  private connectedAt: number | undefined;
  private isStoring = false;
  /** Checks of the lane because of each filter. */
  private readonly checks = new Map<TopicTemplate, number>();
  /** Spreads the checks of the lanes. */
  private readonly share: number;

  constructor(
    private readonly templates: readonly TopicTemplate[],
    random: () => number = Math.random,
  ) {
    this.share = random();
  }

  connected(now: number): void {
    this.connectedAt = now;
  }

  disconnected(): void {
    this.connectedAt = undefined;
    this.receivedAt.clear();
  }

  /** Whether the present connection received anything by the filter. */
  hasReceived(template: TopicTemplate): boolean {
    return this.receivedAt.has(template);
  }

  batchReceived(packets: readonly IntakePacket[], now: number): void {
    this.isStoring = true;
    for (const template of this.templates) {
      if (packets.some(({ topic }) => template.matches(topic))) this.receivedAt.set(template, now);
    }
  }

  batchEnded(): void {
    this.isStoring = false;
  }

  /** Whether the lane was connected all the time since `since`, received nothing by the filter, and stores no batch now. */
  isSilentSince(template: TopicTemplate, since: number): boolean {
    if (this.isStoring || this.connectedAt === undefined || this.connectedAt > since) return false;
    return (this.receivedAt.get(template) ?? -Infinity) <= since;
  }

  /** Whether the lane received something by the filter after `since`. */
  hasReceivedSince(template: TopicTemplate, since: number): boolean {
    return (this.receivedAt.get(template) ?? -Infinity) > since;
  }

  /** Whether the lane has been quiet by the filter for so long that it is to be checked. */
  isCheckDue(template: TopicTemplate, now: number, timing: QuietTiming): boolean {
    const { quietMs, longestQuietMs } = timing;
    const checks = this.checksOf(template, timing);
    return this.isSilentSince(template, now - backoffMs(checks, quietMs, longestQuietMs, () => this.share));
  }

  /** To be called before the lane is disconnected for a check. */
  checked(templates: readonly TopicTemplate[], timing: QuietTiming): void {
    for (const template of templates) this.checks.set(template, this.checksOf(template, timing) + 1);
  }

  /** How many checks in a row there were because of one of these filters. */
  mostChecks(templates: readonly TopicTemplate[]): number {
    return Math.max(0, ...templates.map((template) => this.checks.get(template) ?? 0));
  }

  /**
   * How many checks count: none if the connection has brought something by the filter for `longestQuietMs`. Less is not enough:
   * some brokers give everything to the member that connected last, and lanes must not take it from each other again and again.
   */
  private checksOf(template: TopicTemplate, { longestQuietMs }: QuietTiming): number {
    const receivedAt = this.receivedAt.get(template) ?? -Infinity;
    const isProven = receivedAt - (this.connectedAt ?? Infinity) >= longestQuietMs;
    return isProven ? 0 : (this.checks.get(template) ?? 0);
  }
}
