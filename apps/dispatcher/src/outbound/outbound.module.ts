/**
 * In: claims of the accept script, and connections that are ready. Out: their messages, published and completed.
 * Invariants: each connection has one publish in flight at a time, in the order of acceptance; a shard has one owner, and what a
 * former one writes is refused (S1, S2); a message that was interrupted is published again; without a connection to the broker
 * nothing is claimed.
 */
import { Module } from '@nestjs/common';
import { BrokerModule, Publisher } from '@app/broker';
import { LOGGER, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import {
  OutboundWork,
  RegistryKeys,
  RegistryModule,
  SendingTimes,
  WakeUps,
  claimsReader,
  memberEvents,
} from '@app/registry';
import { Leases, MemberIdentity, Members } from '@app/sharding';
import { Activations } from './activations.js';
import { ClaimsLoop } from './claims-loop.js';
import { OutboundShards } from './outbound-shards.js';
import { outboundTiming } from './outbound-times.js';
import type { OutboundSettings } from './outbound.settings.js';
import { Publishing } from './publishing.js';
import { Semaphore } from './semaphore.js';

/** BullMQ uses it for blocking reads of wake-ups. */
export const WORKER_REDIS: NamedConnection = {
  token: Symbol('WORKER_REDIS'),
  name: 'dispatcher-worker',
  whenAway: 'wait',
};

/** Blocks while the streams of claims are empty. */
export const CLAIMS_REDIS: NamedConnection = {
  token: Symbol('CLAIMS_REDIS'),
  name: 'dispatcher-claims',
  whenAway: 'wait',
};

/** Fails fast: a lease must be renewed in time or not at all. */
export const LEASES_REDIS: NamedConnection = {
  token: Symbol('LEASES_REDIS'),
  name: 'dispatcher-leases',
  whenAway: 'fail',
};

const broker = BrokerModule.of('dispatcher', { needs: 'publish' });

/** What the outbound side is made of, without the framework; specs use it too. */
export function outboundOf(
  redis: Readonly<Record<'main' | 'worker' | 'claims' | 'leases', Redis>>,
  keys: RegistryKeys,
  publisher: Publisher,
  wakeUps: WakeUps,
  {
    OUT_TOPIC,
    IN_TOPIC,
    DISPATCH_CONCURRENCY,
    SHARD_COUNT,
  }: Pick<OutboundSettings, 'OUT_TOPIC' | 'IN_TOPIC' | 'DISPATCH_CONCURRENCY' | 'SHARD_COUNT'>,
  logger: Logger,
  work = new OutboundWork(redis.main, keys),
): Outbound {
  const { name, bootId, id } = new MemberIdentity();
  const sendingTimes = new SendingTimes(redis.leases, keys);
  const dependencies = {
    work,
    publishing: new Publishing(publisher, { out: OUT_TOPIC, in: IN_TOPIC }, logger, (ms) => sendingTimes.observe(ms)),
    semaphore: new Semaphore(DISPATCH_CONCURRENCY),
    isConnected: () => publisher.connected,
    logger,
  };
  const shards = new OutboundShards({
    dependencies,
    redis: redis.leases,
    keys,
    shardCount: SHARD_COUNT,
    leases: new Leases(redis.leases, keys, bootId, outboundTiming.leaseMs),
    // A dispatcher that dies must not count longer than its leases last: until then the others have their shares already.
    members: new Members(
      redis.leases,
      keys.dispatchers,
      id,
      outboundTiming.leaseMs,
      memberEvents(redis.leases, keys, 'dispatcher', logger),
    ),
    name,
    timing: outboundTiming,
    wakeUps,
    sendingTimes,
    logger,
  });
  publisher.onConnect(() => shards.connected());
  publisher.onLost(() => shards.disconnected());
  const claims = new ClaimsLoop(claimsReader(redis.claims, redis.main, keys), shards, logger);
  return new Outbound(shards, claims, new Activations(redis.worker, keys, shards, SHARD_COUNT, logger));
}

/** The outbound side of a dispatcher. */
export class Outbound {
  constructor(
    private readonly shards: OutboundShards,
    private readonly claims: ClaimsLoop,
    private readonly activations: Activations,
  ) {}

  get running(): boolean {
    return this.shards.running && this.activations.running;
  }

  async start(): Promise<void> {
    this.shards.start();
    this.claims.start();
    await this.activations.start();
  }

  /** Takes no new shards, finishes what is being published, and gives the shards back. */
  async stop(): Promise<void> {
    const stopped = this.activations.stop();
    await this.shards.stop();
    await this.claims.stop();
    await stopped;
  }
}

@Module({
  imports: [RegistryModule, broker],
  providers: [
    {
      provide: Outbound,
      inject: [
        REDIS,
        WORKER_REDIS.token,
        CLAIMS_REDIS.token,
        LEASES_REDIS.token,
        RegistryKeys,
        Publisher,
        WakeUps,
        SETTINGS,
        LOGGER,
      ],
      useFactory: (
        main: Redis,
        worker: Redis,
        claims: Redis,
        leases: Redis,
        keys: RegistryKeys,
        publisher: Publisher,
        wakeUps: WakeUps,
        settings: OutboundSettings,
        logger: Logger,
      ) => outboundOf({ main, worker, claims, leases }, keys, publisher, wakeUps, settings, logger),
    },
  ],
  exports: [Outbound, broker],
})
export class OutboundModule {}
