/**
 * Redis connections: to one server, to the master that Sentinels name, or to a Redis Cluster; used alike. One
 * connection may carry many commands; a blocking read needs one of its own.
 */
import { Cluster, Redis as RedisServer, type ClusterOptions, type RedisOptions } from 'ioredis';
import { backoffMs } from './backoff.js';
import type { Logger } from './logger.js';
import './redis-connector.js';
import { masterConnector } from './redis-master.js';
import { RedisError, withTypedErrors } from './redis-error.js';
import './redis-slots-refresh.js';
import { parseRedisUrl, type RedisAddress } from './redis-url.js';
import { sendTogether } from './redis-writes.js';
import { closeWithin } from './within.js';

export type Redis = RedisServer | Cluster;

type ServerOptions = Omit<RedisOptions, 'replyMapping'>;
type NodeOptions = Omit<ClusterOptions, 'redisOptions'> & { redisOptions: ServerOptions };

/** Longest a command of a `fail` connection waits for its answer, in milliseconds. */
export const REDIS_ANSWER_MS = 700;

export interface RedisConnectionOptions {
  /** Shown by `CLIENT LIST`. */
  name: string;
  /**
   * `wait`: commands wait for Redis to come back (workers that have nothing else to do).
   * `fail`: commands fail well within a second (callers that must answer).
   */
  whenAway: 'wait' | 'fail';
  /** `none`: the commands of a `fail` connection have no time limit of their own; its user knows a better one. */
  commandMs?: 'none';
}

/** Codes of a server that cannot serve this connection any more, or not yet: the next connection may lead to one that can. */
const WRONG_SERVER = /^(READONLY|LOADING|UNBLOCKED|MASTERDOWN)/;

const retry = (times: number): number => backoffMs(times, 50, 2000);

/** Opens a connection that comes back by itself, with jitter. The caller closes it. @throws Error for a wrong URL */
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
      : new RedisServer({ ...options, ...whereIs(address, name, logger), retryStrategy: retry });
  if (isCluster(redis)) redis.on('+node', sendTogether);
  else sendTogether(redis);
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (...[command, ...more]: Parameters<typeof send>) => send(withTypedErrors(command), ...more);
  const warn = (error: Error): void => logger.warn({ redis: name, err: error }, 'redis connection error');
  redis.on('error', warn);
  redis.on('node error', warn);
  redis.on('ready', () => logger.debug({ redis: name }, 'redis connected'));
  return redis;
}

/**
 * A BullMQ queue asks Redis for its version once; if that reply is late, every later call fails with the same error.
 * This option skips the check: `assertRedisFit` checks the version, and retries.
 */
const UNASKED = { skipVersionCheck: true };

/** What holds for each server connected to. */
function serverOptions({ username, password, tls }: RedisAddress, whenAway: 'wait' | 'fail'): ServerOptions {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
    connectTimeout: 3000,
    reconnectOnError: (error) => (WRONG_SERVER.test(error.message) ? 2 : false),
    // A server that vanished without a word is given up; the longest blocking read, BullMQ's, takes 10 s.
    ...(whenAway === 'wait'
      ? { maxRetriesPerRequest: null, socketTimeout: 15_000 }
      : { maxRetriesPerRequest: 0, socketTimeout: 2000, commandTimeout: REDIS_ANSWER_MS, ...UNASKED }),
    enableOfflineQueue: whenAway === 'wait',
  };
}

function whereIs({ topology, hosts, tls, db, ...address }: RedisAddress, name: string, logger: Logger): ServerOptions {
  if (topology === 'single') return { ...hosts[0], db };
  return {
    sentinels: hosts,
    name: address.masterName ?? '',
    db,
    ...(address.sentinelUsername !== undefined && { sentinelUsername: address.sentinelUsername }),
    ...(address.sentinelPassword !== undefined && { sentinelPassword: address.sentinelPassword }),
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
    // The old master may live on, or hang: the Sentinels say when it is the master no more.
    failoverDetector: true,
    Connector: masterConnector(name, logger),
    sentinelRetryStrategy: retry,
    sentinelReconnectStrategy: retry,
    sentinelCommandTimeout: 1000,
  };
}

/**
 * MOVED, ASK, TRYAGAIN, CLUSTERDOWN and lost nodes are retried within the limits below. A command repeated because
 * its node was lost may have been done there: all of ours are safe to repeat.
 */
function clusterOptions(server: ServerOptions, whenAway: 'wait' | 'fail'): NodeOptions {
  const { enableOfflineQueue = true, ...redisOptions } = server;
  const delay = whenAway === 'wait' ? 100 : 50;
  return {
    redisOptions,
    enableOfflineQueue,
    // With TLS a name must reach the check of the certificate, so names are left to each connect.
    dnsLookup: (host, found) => found(null, host),
    clusterRetryStrategy: retry,
    maxRedirections: whenAway === 'wait' ? Infinity : 5,
    retryDelayOnFailover: delay,
    retryDelayOnClusterDown: delay,
    retryDelayOnTryAgain: delay,
    // Nodes that disagree for a moment send a command to and fro.
    retryDelayOnMoved: 10,
    slotsRefreshInterval: 5000,
  };
}

/** How long the end of a connection waits for its answer, in milliseconds. */
const CLOSE_MS = 1000;

/** Ends a connection: in order if Redis answers in time, otherwise at once. */
export async function closeRedis(redis: Redis): Promise<void> {
  // A connection that breaks before the goodbye is answered has ended all the same.
  if (redis.status === 'ready') await closeWithin(CLOSE_MS, () => redis.quit()).catch(() => undefined);
  // Also after `quit`, which leaves the connections to the Sentinels open.
  if (!isCluster(redis) || redis.status !== 'end') redis.disconnect();
}

/** Whether keys lie on several nodes, so that one command reaches only those of one hash slot. */
export function isCluster(redis: Redis): redis is Cluster {
  return redis instanceof Cluster;
}

/** The masters a connection has found; more than one for a cluster. */
export function mastersOf(redis: Redis): RedisServer[] {
  return isCluster(redis) ? redis.nodes('master') : [redis];
}

/** Masters that hold slots of the cluster and are not among `mastersOf`: a node that could not be reached is left out there. */
export function mastersMissed(redis: Redis): string[] {
  if (!isCluster(redis)) return [];
  const found = new Set(redis.nodes('master').map(({ options: { host, port } }) => `${host}:${port}`));
  const holders = new Set(redis.slots.flatMap(([master]) => master ?? []));
  return [...holders].filter((master) => !found.has(master));
}

const AWAY = 'redis does not answer';

/**
 * For readiness: undefined if every master answers within a second, otherwise what is wrong. Anybody may ask for it, so it
 * names no address and repeats no message of the connection.
 */
export async function redisTrouble(redis: Redis): Promise<string | undefined> {
  if (redis.status !== 'ready') return AWAY;
  if (mastersMissed(redis).length > 0) return 'a master of the redis cluster does not answer';
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(AWAY), 1000);
  });
  const answer = Promise.all(mastersOf(redis).map((master) => master.ping())).then(
    () => undefined,
    (error: unknown) => {
      const reply = error instanceof RedisError ? error.cause : error;
      const refused = reply instanceof Error && reply.name === 'ReplyError';
      return refused ? `redis refuses: ${reply.message.split(' ', 1)[0]}` : AWAY;
    },
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
