/**
 * Loaded into a process with `--import`. It redirects the process's connections to loopback ports, as `DETOURS` says
 * (`from:to,from:to`). The nodes of a Redis Cluster announce their own addresses, so a proxy in `REDIS_URL` would be bypassed
 * after the first connection.
 */
import { Socket } from 'node:net';

const detours = new Map(
  (process.env.DETOURS ?? '').split(',').map((pair) => {
    const [from, to] = pair.split(':').map(Number);
    return [from, to];
  }),
);
const connect = Socket.prototype.connect;

/** @this {Socket} @param {any[]} args in the form of `net.connect`, or in that of a direct call */
Socket.prototype.connect = function (...args) {
  const holder = Array.isArray(args[0]) ? args[0] : args;
  const to = detours.get(Number(holder[0]?.port));
  if (to !== undefined) holder[0] = { ...holder[0], port: to };
  return Reflect.apply(connect, this, args);
};
