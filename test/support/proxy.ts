/** A loopback proxy in front of a server. A test can cut it (it resets connections) or silence it (it passes nothing on). */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../scripts/stack.mjs';

export class Proxy {
  private readonly sockets = new Set<Socket>();
  private state: 'open' | 'cut' | 'silent' = 'open';

  private constructor(
    readonly port: number,
    private readonly server: Server,
    private readonly onFirstData: (data: Buffer) => void,
  ) {}

  /** `onFirstData` receives the first bytes that each new connection sends. */
  static async before(target: number, onFirstData: (data: Buffer) => void = () => undefined): Promise<Proxy> {
    const port = await freePort();
    const server = createServer();
    const proxy = new Proxy(port, server, onFirstData);
    server.on('connection', (near) => proxy.join(near, target));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return proxy;
  }

  /** Resets open connections and each new one. */
  cut(): void {
    this.state = 'cut';
    for (const socket of this.sockets) socket.destroy();
  }

  /** Keeps connections open and passes nothing on, like a network that drops packets. */
  silence(): void {
    this.state = 'silent';
    for (const socket of this.sockets) socket.pause();
  }

  /** Passes new connections on again. Resets the open ones: bytes that were not passed on are lost. */
  heal(): void {
    for (const socket of this.sockets) socket.destroy();
    this.state = 'open';
  }

  stop(): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private join(near: Socket, target: number): void {
    this.keep(near);
    if (this.state === 'cut') {
      near.destroy();
      return;
    }
    if (this.state === 'silent') return;
    const far = connect(target, '127.0.0.1');
    this.keep(far);
    near.setNoDelay(true);
    far.setNoDelay(true);
    near.once('data', this.onFirstData);
    near.pipe(far).pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.sockets.delete(socket));
  }
}

/** The proxies between one process and the masters of a Redis. */
export class RedisProxies {
  private constructor(private readonly proxies: ReadonlyMap<number, Proxy>) {}

  static async before(masters: readonly number[]): Promise<RedisProxies> {
    const proxies = masters.map(async (port) => [port, await Proxy.before(port)] as const);
    return new RedisProxies(new Map(await Promise.all(proxies)));
  }

  /** The ports of the masters and of their proxies, as `detour.mjs` reads them. */
  get detours(): string {
    return Array.from(this.proxies, ([master, { port }]) => `${master}:${port}`).join();
  }

  get masters(): number {
    return this.proxies.size;
  }

  /** `master`: its number; all of them if it is omitted. */
  cut(master?: number): void {
    [...this.proxies.values()].forEach((proxy, i) => {
      if (master === undefined || i === master) proxy.cut();
    });
  }

  silence(): void {
    for (const proxy of this.proxies.values()) proxy.silence();
  }

  heal(): void {
    for (const proxy of this.proxies.values()) proxy.heal();
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.proxies.values(), (proxy) => proxy.stop()));
  }
}
