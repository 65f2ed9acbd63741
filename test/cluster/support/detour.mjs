/**
 * Loaded into a process with `--import`: its connections to the loopback ports in `DETOURS` (`from:to,from:to`) go to others.
 * The nodes of a Redis Cluster announce their own addresses, so an address in `REDIS_URL` would be left at once.
 */
import { Socket } from 'node:net';

const detours = new Map(
  (process.env.DETOURS ?? '').split(',').map((pair) => {
    const [from, to] = pair.split(':').map(Number);
    return [from, to];
  }),
);
const connect = Socket.prototype.connect;

/** @this {Socket} @param {any[]} args as `net.connect` hands them on, or as a caller of the socket does */
Socket.prototype.connect = function (...args) {
  const holder = Array.isArray(args[0]) ? args[0] : args;
  const to = detours.get(Number(holder[0]?.port));
  if (to !== undefined) holder[0] = { ...holder[0], port: to };
  return Reflect.apply(connect, this, args);
};
