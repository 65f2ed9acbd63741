/**
 * Markers that the service publishes to itself through the lanes. One that comes back shows that all that the broker had
 * before it has been stored (`reconciliation/lane-barrier.ts`), and that the lane receives at all (`lane-watch.ts`).
 */
import { randomUUID } from 'node:crypto';
import type { IntakePacket } from '@app/broker';
import { boundedWrite, type Logger, type Redis } from '@app/platform';
import type { RegistryKeys } from '@app/registry';

const MARKER = 'marker ';
const KEPT_MS = 60_000;
/** Most markers of other processes that are noted of a batch: a flood of them takes no more than that of Redis. */
const MOST_NOTED = 64;
const UUID_LENGTH = 36;

export function markerText(id: string): string {
  return MARKER + id;
}

/** A marker that this process has published, and waits for. */
export interface ExpectedMarker {
  readonly id: string;
  readonly cameBack: Promise<void>;
  /** Ends the wait. */
  forget(): void;
}

export class LaneMarkers {
  private readonly expected = new Map<string, () => void>();

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    /** The topic of the barrier's markers. It carries nothing of clients. */
    private readonly topic: string,
    private readonly logger: Logger,
    /** Topics below the filters by which messages of clients come. */
    private readonly amongClients: ReadonlySet<string> = new Set(),
  ) {}

  isMarker({ topic, payload }: IntakePacket): boolean {
    return topic === this.topic || (this.amongClients.has(topic) && idOf(payload) !== undefined);
  }

  /** A new marker. It is to be published after this. */
  expect(): ExpectedMarker {
    const id = randomUUID();
    const cameBack = new Promise<void>((resolve) => this.expected.set(id, resolve));
    return { id, cameBack, forget: () => void this.expected.delete(id) };
  }

  /** Whether some process has received the marker. */
  async wasNoted(id: string): Promise<boolean> {
    return (await this.redis.exists(this.keys.laneMarker(id))) === 1;
  }

  /** To be called once everything before them is stored. One that cannot be noted is published again. */
  async note(packets: readonly IntakePacket[]): Promise<void> {
    const ofOthers: string[] = [];
    for (const { payload } of packets) {
      const id = idOf(payload);
      if (id === undefined) continue;
      const arrive = this.expected.get(id);
      if (arrive === undefined) ofOthers.push(id);
      else arrive();
    }
    try {
      for (const id of ofOthers.slice(-MOST_NOTED)) {
        await boundedWrite(this.redis, 'SET', this.keys.laneMarker(id), '1', 'PX', KEPT_MS);
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'marker of a lane not noted');
    }
  }
}

function idOf(payload: Buffer): string | undefined {
  if (payload.length !== MARKER.length + UUID_LENGTH) return undefined;
  const text = payload.toString('latin1');
  return text.startsWith(MARKER) ? text.slice(MARKER.length) : undefined;
}
