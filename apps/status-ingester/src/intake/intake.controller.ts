/**
 * Stores what a lane received: each packet is hashed to its shard and appended to that shard's mailbox. The lane
 * acknowledges a batch to the broker when `store` has resolved.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Inject } from '@nestjs/common';
import { BaseRpcContext, Ctx, EventPattern, Payload } from '@nestjs/microservices';
import type { IntakePacket } from '@app/broker';
import { LOGGER, OPEN, SETTINGS, Sampled, backoffMs, counter, type Logger } from '@app/platform';
import { shardOf, type TopicTemplate } from '@app/protocol';
import { Mailboxes, StaleOwnerError, type Grant, type LaneItem } from '@app/sharding';
import { topicsOfClients, type IngesterSettings } from '../ingester.settings.js';
import { LaneMarkers } from './lane-markers.js';
import { ClientShares } from './client-rate-limiter.js';
import { seal, sealCut, senderOf } from './mailbox-item.js';

/** Pattern under which a lane hands over what it received. */
export const INTAKE = 'intake';

/** `stale`: the lane has a newer owner, and what is not stored yet is that one's to store. */
export type StoreOutcome = 'stored' | 'stale';

/** The lane a batch came through, its number in the lane's sequence, and the end of the lane's work. */
export class LaneContext extends BaseRpcContext<[Grant, number, AbortSignal]> {
  get lane(): Grant {
    return this.getArgByIndex(0) as Grant;
  }
  get sequence(): number {
    return this.getArgByIndex(1) as number;
  }
  get stopping(): AbortSignal {
    return this.getArgByIndex(2) as AbortSignal;
  }
}

const received = counter('intake_messages', 'Messages taken over from the broker, by lane.', { lane: OPEN });
const cut = counter('intake_cut_messages', 'Messages over the share of their client: not stored.');
const foreign = counter('intake_foreign_topics', 'Messages on a topic without a valid client id; dropped.');
const repeated = counter('intake_repeats', 'Redelivered messages that had been stored before, and were left out.', {
  lane: OPEN,
});
const waits = counter('intake_waits', 'Tries to store a batch that had to be repeated, by cause.', {
  cause: ['mailbox-full', 'redis'],
});

@Controller()
export class IntakeController {
  private readonly templates: readonly TopicTemplate[];
  private readonly shares: ClientShares;
  private readonly cutDetails: string;
  private readonly warnings = new Sampled();

  constructor(
    private readonly mailboxes: Mailboxes,
    private readonly markers: LaneMarkers,
    @Inject(SETTINGS) private readonly settings: IngesterSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    const { CLIENT_RATE: rate, CLIENT_BURST: burst, CLIENT_BYTES_RATE: bytesRate } = settings;
    this.shares = new ClientShares({ rate, burst, bytesRate, largest: settings.MAX_INBOUND_BYTES });
    this.cutDetails =
      `more than ${rate} messages a second after ${burst} at once, or than ${bytesRate} bytes a second after ` +
      `${this.shares.bytesBurst} at once: those over it are not stored`;
    for (let lane = 0; lane < settings.INTAKE_LANES; lane++) {
      received.inc({ lane }, 0);
      repeated.inc({ lane }, 0);
    }
    this.templates = topicsOfClients(settings);
  }

  /** Resolves when every packet is in its mailbox, or none of the rest may be: the lane has a newer owner. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-arguments -- without it @Ctx() cannot be typed
  @EventPattern<string>(INTAKE)
  async store(@Payload() packets: readonly IntakePacket[], @Ctx() context: LaneContext): Promise<StoreOutcome> {
    const { lane, sequence, stopping } = context;
    const own = packets.filter((packet) => this.markers.isMarker(packet));
    const ofClients = own.length === 0 ? packets : packets.filter((packet) => !own.includes(packet));
    let batches = this.byShard(ofClients, lane.index);
    for (let attempt = 0; batches.size > 0; attempt++) {
      const full = await this.append(lane, sequence, batches);
      if (full === 'stale') return 'stale';
      if (full === undefined || full.length > 0)
        await sleep(backoffMs(attempt, 20, 1000), undefined, { signal: stopping });
      if (full !== undefined) batches = new Map(Array.from(batches).filter(([shard]) => full.includes(shard)));
    }
    received.inc({ lane: lane.index }, ofClients.length);
    await this.markers.note(own);
    return 'stored';
  }

  /** @returns the shards whose mailbox is full; `stale` where the lane has a newer owner; undefined where the outcome is unknown. */
  private async append(
    lane: Grant,
    sequence: number,
    batches: ReadonlyMap<number, LaneItem[]>,
  ): Promise<number[] | 'stale' | undefined> {
    try {
      const { outcomes, repeats } = await this.mailboxes.append(lane, sequence, batches);
      if (repeats > 0) repeated.inc({ lane: lane.index }, repeats);
      const full = Array.from(outcomes).flatMap(([shard, outcome]) => (outcome === 'full' ? [shard] : []));
      if (full.length > 0) waits.inc({ cause: 'mailbox-full' });
      return full;
    } catch (error) {
      if (error instanceof StaleOwnerError) return 'stale';
      waits.inc({ cause: 'redis' });
      this.logger.warn({ err: error, lane: lane.index }, 'append failed; repeating it');
      return undefined;
    }
  }

  private byShard(packets: readonly IntakePacket[], lane: number): Map<number, LaneItem[]> {
    const batches = new Map<number, LaneItem[]>();
    const now = performance.now();
    for (const packet of packets) {
      const sender = senderOf(packet.topic, this.templates);
      if (sender === undefined) {
        foreign.inc();
        this.warnings.take((skipped) =>
          this.logger.warn(
            { topic: packet.topic.slice(0, 512), skipped },
            'message on a topic without a valid client id dropped',
          ),
        );
        continue;
      }
      const verdict = this.shares.take(sender.clientId, packet.payload.length, now);
      if (verdict !== 'within') cut.inc();
      if (verdict === 'cut-again') continue;
      const item =
        verdict === 'within'
          ? seal(packet, sender, lane, this.settings.MAX_INBOUND_BYTES)
          : sealCut(packet, sender, this.cutDetails);
      const shard = shardOf(item.clientId, this.settings.SHARD_COUNT);
      const batch = batches.get(shard);
      if (batch === undefined) batches.set(shard, [item]);
      else batch.push(item);
    }
    return batches;
  }
}
