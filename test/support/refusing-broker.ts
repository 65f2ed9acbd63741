/** In front of a broker: refuses each CONNECT for a while, as a broker does that is busy or whose credentials change. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../scripts/stack.mjs';

/** CONNACK of MQTT 5: no session, reason "server unavailable", no properties. */
const SERVER_UNAVAILABLE = Buffer.from([0x20, 0x03, 0x00, 0x88, 0x00]);

export class RefusingBroker {
  /** CONNECT packets that were refused. */
  refused = 0;
  private refusing = true;
  private readonly sockets = new Set<Socket>();

  private constructor(
    readonly port: number,
    private readonly server: Server,
  ) {}

  static async before(target: number): Promise<RefusingBroker> {
    const port = await freePort();
    const server = createServer();
    const proxy = new RefusingBroker(port, server);
    server.on('connection', (near) => proxy.join(near, target));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** From now on connections are passed on. */
  accept(): void {
    this.refusing = false;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private join(near: Socket, target: number): void {
    this.keep(near);
    if (this.refusing) {
      near.once('data', () => {
        this.refused++;
        near.end(SERVER_UNAVAILABLE);
      });
      return;
    }
    const far = this.keep(connect(target, '127.0.0.1'));
    near.pipe(far).pipe(near);
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    // The other end sees it close.
    socket.on('error', () => undefined);
    return socket;
  }
}
