/** A gateway in the process of a spec, wired as the app is, on a free port; what it logs is kept. */
import 'reflect-metadata';
import { connect } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Lifecycle, NestLogger, loadSettings } from '@app/platform';
import { pino } from 'pino';
import { register } from 'prom-client';
import { GatewayModule } from '../../apps/api-gateway/src/gateway.module.js';
import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { gatewayAdapter, prepareHttp } from '../../apps/api-gateway/src/gateway-http.js';
import { quiet } from './servers.js';

const HOST = '127.0.0.1';

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

export class GatewayApp {
  private constructor(
    readonly app: NestFastifyApplication,
    readonly port: number,
    /** Lines of the log, parsed. */
    readonly lines: Record<string, unknown>[],
  ) {}

  /** `started: false`: it listens and has not read the key space yet. */
  static async listen(env: Record<string, string>, { started = true } = {}): Promise<GatewayApp> {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
    const logger = pino(
      { level: 'info', messageKey: 'message', formatters: { level: (level) => ({ level }) } },
      { write },
    );
    // Several gateways of one process share what is measured; the newest one has it.
    register.removeSingleMetric('cloud_connector_storage_full');
    const settings = loadSettings(gatewaySettings, env);
    const app = await NestFactory.create<NestFastifyApplication>(
      GatewayModule.wire(settings, logger),
      gatewayAdapter(settings, logger),
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest types its options as a class
      { logger: new NestLogger(quiet), abortOnError: false, bodyParser: false },
    );
    prepareHttp(app, settings);
    await app.listen(0, HOST);
    if (started) await app.get(Lifecycle).start();
    const { port } = app.getHttpServer().address() as { port: number };
    return new GatewayApp(app, port, lines);
  }

  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  /** Sends these very bytes, and reads one answer. */
  async raw(request: string | Buffer): Promise<RawAnswer> {
    const text = await new Promise<string>((resolve, reject) => {
      let answer = '';
      const socket = connect(this.port, HOST, () => socket.write(request));
      socket.setEncoding('utf8').on('data', (data: string) => {
        answer += data;
        if (isWhole(answer)) socket.destroy();
      });
      socket.on('error', reject).on('close', () => resolve(answer));
    });
    return parsed(text);
  }

  stop(): Promise<void> {
    return this.app.close();
  }
}

function isWhole(answer: string): boolean {
  const [head, body] = split(answer.replace(/^HTTP\/1\.1 100 [^]*?\r\n\r\n/, ''));
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  return body !== undefined && length !== undefined && Buffer.byteLength(body) >= Number(length);
}

function split(answer: string): [head: string, body: string | undefined] {
  const at = answer.indexOf('\r\n\r\n');
  return at < 0 ? [answer, undefined] : [answer.slice(0, at), answer.slice(at + 4)];
}

function parsed(answer: string): RawAnswer {
  const [head, body = ''] = split(answer.replace(/^HTTP\/1\.1 100 [^]*?\r\n\r\n/, ''));
  const [first = '', ...rest] = head.split('\r\n');
  const headers = rest.map((line) => [line.split(':', 1)[0]?.toLowerCase() ?? '', line.replace(/^[^:]*: */, '')]);
  return { status: Number(first.split(' ')[1]), headers: Object.fromEntries(headers) as Record<string, string>, body };
}
