/**
 * All commands of one turn of the event loop are sent with one system call, so that Redis reads them together. A single
 * command is sent at the end of the turn, too.
 */
import type { Redis } from 'ioredis';

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
