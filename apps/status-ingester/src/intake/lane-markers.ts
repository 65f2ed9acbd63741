/**
 * Markers that the service publishes to itself through the lanes: one that comes back shows that all that the broker had
 * before it has been stored (`agreement/lane-barrier.ts`).
 */
import type { IntakePacket } from '@app/broker';
import { boundedWrite, type Logger, type Redis } from '@app/platform';
import type { RegistryKeys } from '@app/registry';

const MARKER = 'marker ';
const KEPT_MS = 60_000;

export function markerText(id: string): string {
  return MARKER + id;
}

export class LaneMarkers {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    /** The topic they are published on. */
    private readonly topic: string,
    private readonly logger: Logger,
  ) {}

  isMarker({ topic }: IntakePacket): boolean {
    return topic === this.topic;
  }

  /** To be called once everything before them is stored. One that cannot be noted is published again. */
  async note(packets: readonly IntakePacket[]): Promise<void> {
    try {
      for (const packet of packets) {
        const text = this.isMarker(packet) ? packet.payload.toString() : '';
        if (text.startsWith(MARKER))
          await boundedWrite(this.redis, 'SET', this.keys.laneMarker(text.slice(MARKER.length)), '1', 'PX', KEPT_MS);
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'marker of a lane not noted');
    }
  }
}
