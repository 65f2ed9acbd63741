/**
 * Connections to one Redis, to the master that Sentinels know by name, or to a Redis Cluster. Callers use all of them in the
 * same way. One connection carries many commands at the same time; a blocking read needs a connection of its own.
 */
import { Cluster, Redis as RedisServer, type ClusterOptions, type RedisOptions } from 'ioredis';
import { backoffMs } from './backoff.js';
import type { Logger } from './logger.js';
import './redis-connector.js';
import { masterConnector } from './redis-master.js';
import { RedisForbiddenError, withTypedErrors, type RedisError } from './redis-error.js';
import { watchFaults } from './redis-fault.js';
import './redis-slots-refresh.js';
import { parseRedisUrl, type RedisAddress } from './redis-url.js';
import { batchWrites } from './redis-writes.js';
import { closeWithin } from './within.js';

export type Redis = RedisServer | Cluster;

type ServerOptions = Omit<RedisOptions, 'replyMapping'>;
type NodeOptions = Omit<ClusterOptions, 'redisOptions'> & { redisOptions: ServerOptions };

/** The longest time that a command of a `fail` connection waits for its reply, in milliseconds. */
export const REDIS_REPLY_MS = 700;

export interface RedisConnectionOptions {
  /** Name in `CLIENT LIST` and in log lines. */
  name: string;
  /**
   * `wait`: commands wait until Redis is back, for workers that have nothing else to do.
   * `fail`: commands fail within a second, for callers that must answer.
   */
  whenAway: 'wait' | 'fail';
  /** `none`: the commands of a `fail` connection have no time limit, because the caller sets its own. */
  commandMs?: 'none';
}

/** Codes of a server that cannot serve this connection: a new connection may lead to a server that can. */
const NOT_MASTER = /^(READONLY|LOADING|UNBLOCKED|MASTERDOWN)/;

const reconnectMs = (times: number): number => backoffMs(times, 50, 2000);

/** Opens a connection that reconnects by itself, with jitter. The caller closes it. @throws Error for a wrong URL */
export function connectRedis(
  url: string,
  { name, whenAway, commandMs }: RedisConnectionOptions,
  logger: Logger,
): Redis {
  const address = parseRedisUrl(url);
  const options = { ...serverOptions(address, whenAway), connectionName: name };
  if (commandMs === 'none') delete options.commandTimeout;
  const redis =
    address.topology === 'cluster'
      ? new Cluster(address.hosts, clusterOptions(options, whenAway))
      : new RedisServer({ ...options, ...locationOptions(address, name, logger), retryStrategy: reconnectMs });
  if (isCluster(redis)) redis.on('+node', batchWrites);
  else batchWrites(redis);
  const send = redis.sendCommand.bind(redis);
  const warnOfRight = warnOfMissingRights(name, logger);
  redis.sendCommand = (...[command, ...more]: Parameters<typeof send>) =>
    send(withTypedErrors(command, warnOfRight), ...more);
  const fault = watchFaults(redis, address);
  const warn = (error: Error): void =>
    logger.warn({ redis: name, address: fault.address, err: error }, 'redis connection error');
  // A cause that lasts is logged once: a connection is tried again every two seconds.
  let logged: string | undefined;
  redis.on('error', (error: Error) => {
    if (error.message !== logged) warn(error);
    logged = error.message;
  });
  redis.on('node error', warn);
  redis.on('ready', () => {
    logged = undefined;
    logger.debug({ redis: name }, 'redis connected');
  });
  return redis;
}

/** One warning for each right that the user lacks, whoever calls the command, and whether its caller reports the failure or not. */
function warnOfMissingRights(name: string, logger: Logger): (error: RedisError) => void {
  const warned = new Set<string>();
  return (error) => {
    if (!(error instanceof RedisForbiddenError) || warned.has(error.right)) return;
    warned.add(error.right);
    const { right, message } = error;
    logger.warn({ redis: name, right, reply: message }, `the user of Redis lacks a right: ${right}`);
  };
}

/**
 * A BullMQ queue asks Redis for its version once. If that reply is late, every later call fails with the same error. So the
 * check is skipped; `assertRedisRequirements` checks the version, and retries.
 */
const WITHOUT_VERSION_CHECK = { skipVersionCheck: true };

/** Options for each server to which a connection leads. */
function serverOptions({ username, password, tls }: RedisAddress, whenAway: 'wait' | 'fail'): ServerOptions {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
    connectTimeout: 3000,
    reconnectOnError: (error) => (NOT_MASTER.test(error.message) ? 2 : false),
    // Without data for this time the connection is reopened. The longest blocking read, BullMQ's, takes 10 s.
    ...(whenAway === 'wait'
      ? { maxRetriesPerRequest: null, socketTimeout: 15_000 }
      : { maxRetriesPerRequest: 0, socketTimeout: 2000, commandTimeout: REDIS_REPLY_MS, ...WITHOUT_VERSION_CHECK }),
    enableOfflineQueue: whenAway === 'wait',
  };
}

/** Options with the address of the server. */
function locationOptions(
  { topology, hosts, tls, db, ...address }: RedisAddress,
  name: string,
  logger: Logger,
): ServerOptions {
  if (topology === 'single') return { ...hosts[0], db };
  return {
    sentinels: hosts,
    name: address.masterName ?? '',
    db,
    ...(address.sentinelUsername !== undefined && { sentinelUsername: address.sentinelUsername }),
    ...(address.sentinelPassword !== undefined && { sentinelPassword: address.sentinelPassword }),
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
    // The old master may keep running, or hang: only the Sentinels report that another server is the master now.
    failoverDetector: true,
    Connector: masterConnector(name, logger),
    sentinelRetryStrategy: reconnectMs,
    sentinelReconnectStrategy: reconnectMs,
    sentinelCommandTimeout: 1000,
  };
}

/**
 * The client retries commands after MOVED, ASK, TRYAGAIN, CLUSTERDOWN and the loss of a node, within the limits below. A lost
 * node may have executed the command: all our commands may be repeated.
 */
function clusterOptions(server: ServerOptions, whenAway: 'wait' | 'fail'): NodeOptions {
  const { enableOfflineQueue = true, ...redisOptions } = server;
  const delay = whenAway === 'wait' ? 100 : 50;
  return {
    redisOptions,
    enableOfflineQueue,
    // Do not resolve names here: TLS compares the name with the certificate.
    dnsLookup: (host, resolved) => resolved(null, host),
    clusterRetryStrategy: reconnectMs,
    maxRedirections: whenAway === 'wait' ? Infinity : 5,
    retryDelayOnFailover: delay,
    retryDelayOnClusterDown: delay,
    retryDelayOnTryAgain: delay,
    // Nodes that disagree for a moment redirect a command to each other.
    retryDelayOnMoved: 10,
    slotsRefreshInterval: 5000,
  };
}

/** How long `closeRedis` waits for the reply to QUIT, in milliseconds. */
const CLOSE_MS = 1000;

/** Ends a connection: with QUIT if Redis replies in time, otherwise at once. */
export async function closeRedis(redis: Redis): Promise<void> {
  // If the connection breaks before the reply, it has ended as well.
  if (redis.status === 'ready') await closeWithin(CLOSE_MS, () => redis.quit()).catch(() => undefined);
  // This is needed after `quit` too, which does not close the connections to the Sentinels.
  if (!isCluster(redis) || redis.status !== 'end') redis.disconnect();
}

/** Whether the connection leads to a Redis Cluster, so that all keys of a command must be on one hash slot. */
export function isCluster(redis: Redis): redis is Cluster {
  return redis instanceof Cluster;
}

/** The masters to which the connection leads; several for a cluster. */
export function mastersOf(redis: Redis): RedisServer[] {
  return isCluster(redis) ? redis.nodes('master') : [redis];
}

/** Addresses of masters that hold slots of the cluster, but could not be reached: `mastersOf` leaves them out. */
export function unreachableMasters(redis: Redis): string[] {
  if (!isCluster(redis)) return [];
  const found = new Set(redis.nodes('master').map(({ options: { host, port } }) => `${host}:${port}`));
  const holders = new Set(redis.slots.flatMap(([master]) => master ?? []));
  return [...holders].filter((master) => !found.has(master));
}
