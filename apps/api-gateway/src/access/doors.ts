/**
 * Which routes are served on which port. Callers come in at `PORT`. Metrics and documents are for those who run the
 * service: on `MANAGEMENT_PORT` alone where it is set, on `PORT` with the rest in development, else nowhere.
 */
import { createServer, type Server } from 'node:http';
import { serverOptions, within, type Access, type Logger } from '@app/platform';
import type { FastifyInstance } from 'fastify';
import { holdBodies } from '../http/expectations.js';
import { onConnect, onParserError } from '../http/parser-errors.js';

/** How long the end waits for answers under way, in milliseconds. */
const CLOSE_MS = 1000;

export interface DoorSettings {
  NODE_ENV: string;
  HOST: string;
  MANAGEMENT_PORT?: number | undefined;
  REQUEST_TIMEOUT: number;
  MAX_CONNECTIONS: number;
}

export class Doors {
  private management: Server | undefined;

  constructor(
    private readonly settings: DoorSettings,
    private readonly logger: Logger,
  ) {}

  /** Whether a route behind this door is served to a request that came in on this local port. */
  serves(door: Access['door'], localPort: number | undefined): boolean {
    const { MANAGEMENT_PORT, NODE_ENV } = this.settings;
    if (door === 'public') return true;
    if (MANAGEMENT_PORT === undefined) return door === 'api' || NODE_ENV !== 'production';
    return (localPort === MANAGEMENT_PORT) === (door === 'management');
  }

  /** Opens the management port, if there is one. Closed with the rest. */
  async open(fastify: FastifyInstance): Promise<void> {
    const { MANAGEMENT_PORT, HOST, MAX_CONNECTIONS } = this.settings;
    if (MANAGEMENT_PORT === undefined) return;
    const options = { ...serverOptions(this.settings), requireHostHeader: false };
    const server = createServer(options, (request, response) => fastify.routing(request, response));
    server.on('clientError', onParserError(this.logger));
    server.on('connect', onConnect(this.logger));
    holdBodies(server);
    server.maxConnections = MAX_CONNECTIONS;
    this.management = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(MANAGEMENT_PORT, HOST, resolve);
    });
  }

  async close(): Promise<void> {
    const server = this.management;
    if (server === undefined) return;
    server.closeIdleConnections();
    const closed = new Promise((resolve) => server.close(resolve));
    if (await within(CLOSE_MS, closed)) return;
    server.closeAllConnections();
    await closed;
  }
}
