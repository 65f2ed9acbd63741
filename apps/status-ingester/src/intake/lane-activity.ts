/** When a lane last received something by each filter: shows the lane watch whether the lane may be stalled. */
import type { IntakePacket } from '@app/broker';
import type { TopicTemplate } from '@app/protocol';

export class LaneActivity {
  private readonly receivedAt = new Map<TopicTemplate, number>();
  private connectedAt: number | undefined;
  private isStoring = false;

  constructor(private readonly templates: readonly TopicTemplate[]) {}

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
}
