/**
 * Commands that many requests send in one turn of the event loop leave in one system call, and Redis reads them at once.
 * Alone, a command leaves at the end of the turn as well.
 */
import type { Redis } from 'ioredis';

/** To be called before the first command of a connection to a server. */
export function sendTogether(server: Redis): void {
  const send = server.sendCommand.bind(server);
  server.sendCommand = (...args: Parameters<typeof send>) => {
    // There is none while it connects.
    const stream = server.stream as Redis['stream'] | undefined;
    if (stream?.writableCorked === 0) {
      stream.cork();
      setImmediate(() => stream.uncork());
    }
    return send(...args);
  };
}
