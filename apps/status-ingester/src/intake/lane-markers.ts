/**
 * Markers: messages that the service publishes to itself through the lanes. A marker that comes back proves that everything
 * the broker had before it is stored (`reconciliation/lane-barrier.ts`), and that the lane receives at all (`lane-watch.ts`).
 */
import { randomUUID } from 'node:crypto';
import type { IntakePacket } from '@app/broker';
import { boundedWrite, type Logger, type Redis } from '@app/platform';
import type { RegistryKeys } from '@app/registry';

const PREFIX = 'marker ';
/** Time to live of a noted marker in Redis: longer than any process waits before it asks for one. */
export const MARKER_KEPT_MS = 120_000;
/** Most markers that are noted in one batch: bounds what many markers cost Redis. */
const MOST_NOTED = 64;
const UUID_LENGTH = 36;

export function markerText(id: string): string {
  return PREFIX + id;
}

/** The text of the control messages of reads. They match the filters of lanes, which take them for markers that nobody expects. */
export const CONTROL_MESSAGE = markerText('00000000-0000-0000-0000-000000000000');

/** A marker that this process waits for. */
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
    /** The topic of the barrier's markers; clients do not publish on it. */
    private readonly barrierTopic: string,
    private readonly logger: Logger,
    /** Topics of the lane watch. They match the filters of clients' topics, so the payload decides what is a marker. */
    private readonly watchTopics: ReadonlySet<string> = new Set(),
  ) {}

  isMarker({ topic, payload }: IntakePacket): boolean {
    return topic === this.barrierTopic || (this.watchTopics.has(topic) && idOf(payload) !== undefined);
  }

  /** Whether it is a control message, which the service publishes with the retain flag. */
  isControlMessage({ topic, payload }: IntakePacket): boolean {
    return this.watchTopics.has(topic) && payload.toString('latin1') === CONTROL_MESSAGE;
  }

  /** Creates a marker; the caller publishes it. */
  expect(): ExpectedMarker {
    const id = randomUUID();
    const cameBack = new Promise<void>((resolve) => this.expected.set(id, resolve));
    return { id, cameBack, forget: () => void this.expected.delete(id) };
  }

  /** Whether a process that does not expect the marker has received it. */
  async wasNoted(id: string): Promise<boolean> {
    return (await this.redis.exists(this.keys.laneMarker(id))) === 1;
  }

  /** Call it when everything before the markers is stored. If Redis fails, their senders publish others. */
  async note(packets: readonly IntakePacket[]): Promise<void> {
    const unexpected: string[] = [];
    for (const { payload } of packets) {
      const id = idOf(payload);
      if (id === undefined) continue;
      const resolve = this.expected.get(id);
      if (resolve === undefined) unexpected.push(id);
      else resolve();
    }
    try {
      for (const id of unexpected.slice(-MOST_NOTED)) {
        await boundedWrite(this.redis, 'SET', this.keys.laneMarker(id), '1', 'PX', MARKER_KEPT_MS);
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'could not note markers of a lane; their senders publish others');
    }
  }
}

function idOf(payload: Buffer): string | undefined {
  if (payload.length !== PREFIX.length + UUID_LENGTH) return undefined;
  const text = payload.toString('latin1');
  return text.startsWith(PREFIX) ? text.slice(PREFIX.length) : undefined;
}
