/** Aedes in this process: a broker that speaks MQTT 3.1.1 only. */
import { createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { freePort, type Server } from './servers.js';

export async function startOlderBroker(): Promise<Server> {
  const port = await freePort();
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
  };
  return { port, url: `mqtt://127.0.0.1:${port}`, stop };
}
