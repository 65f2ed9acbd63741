/** The listener of `MANAGEMENT_PORT`, if it is set: the guard serves metrics and documents there. */
import { createServer, type Server } from 'node:http';
import { closeWithin, serverOptions, type Logger } from '@app/platform';
import type { FastifyInstance } from 'fastify';
import { holdBodies } from './expectations.js';
import { onConnect, onParserError } from './parser-errors.js';

/** How long `close` waits for pending responses, in milliseconds. */
export const MANAGEMENT_CLOSE_MS = 1000;

export interface ManagementSettings {
  HOST: string;
  MANAGEMENT_PORT?: number | undefined;
  REQUEST_TIMEOUT: number;
  MAX_CONNECTIONS: number;
}

export class ManagementPort {
  private server: Server | undefined;

  constructor(
    private readonly settings: ManagementSettings,
    private readonly logger: Logger,
  ) {}

  async open(fastify: FastifyInstance): Promise<void> {
    const { MANAGEMENT_PORT, HOST, MAX_CONNECTIONS } = this.settings;
    if (MANAGEMENT_PORT === undefined) return;
    const options = { ...serverOptions(this.settings), requireHostHeader: false };
    const server = createServer(options, (request, response) => fastify.routing(request, response));
    server.on('clientError', onParserError(this.logger));
    server.on('connect', onConnect(this.logger));
    holdBodies(server);
    server.maxConnections = MAX_CONNECTIONS;
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(MANAGEMENT_PORT, HOST, resolve);
    });
  }

  async close(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    server.closeIdleConnections();
    const closed = new Promise((resolve) => server.close(resolve));
    await closeWithin(
      MANAGEMENT_CLOSE_MS,
      () => closed,
      () => server.closeAllConnections(),
    );
    await closed;
  }
}
