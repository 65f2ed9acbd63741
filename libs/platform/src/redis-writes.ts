/**
 * All commands of one turn of the event loop are sent with one system call, so that Redis reads them together. A single
 * command is sent at the end of the turn, too, unless `sendSoon` is called.
 */
import type { Cluster, Redis } from 'ioredis';

/** Must be called before the first command of the connection. */
export function batchWrites(server: Redis): void {
  const send = server.sendCommand.bind(server);
  server.sendCommand = (...args: Parameters<typeof send>) => {
    // Undefined while the client connects.
    const stream = server.stream as Redis['stream'] | undefined;
    if (stream?.writableCorked === 0) {
      stream.cork();
      setImmediate(() => stream.uncork());
    }
    return send(...args);
  };
}

/**
 * Sends what has been written to the connection as soon as the current event has been handled, so that it does not wait for what
 * other sockets have received in the same turn. On a Redis Cluster it is sent at the end of the turn.
 */
export function sendSoon(redis: Redis | Cluster): void {
  const stream = 'stream' in redis ? (redis.stream as Redis['stream'] | undefined) : undefined;
  if (stream === undefined || stream.writableCorked === 0) return;
  process.nextTick(() => stream.uncork());
}
