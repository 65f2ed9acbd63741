/** An ingester in the process of a spec, wired as the app is, on a free port. One at a time: its metrics are those of the process. */
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Lifecycle, NestLogger, loadSettings, type Logger } from '@app/platform';
import { IngesterModule, type IngesterTiming } from '../../apps/status-ingester/src/ingester.module.js';
import { ingesterSettings } from '../../apps/status-ingester/src/ingester.settings.js';
import { LaneStrategy } from '../../apps/status-ingester/src/intake/lane.strategy.js';
import { quiet } from './servers.js';

const HOST = '127.0.0.1';

export class IngesterApp {
  private constructor(
    private readonly app: NestFastifyApplication,
    readonly url: string,
  ) {}

  static async start(env: Record<string, string>, logger: Logger, timing: IngesterTiming): Promise<IngesterApp> {
    const settings = loadSettings(ingesterSettings, env);
    const app = await NestFactory.create<NestFastifyApplication>(
      IngesterModule.wire(settings, logger, timing),
      new FastifyAdapter(),
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest types its options as a class
      { logger: new NestLogger(quiet), abortOnError: false },
    );
    app.connectMicroservice({ strategy: app.get(LaneStrategy) });
    await app.init();
    await app.startAllMicroservices();
    await app.listen(0, HOST);
    await app.get(Lifecycle).start();
    const { port } = app.getHttpServer().address() as { port: number };
    return new IngesterApp(app, `http://${HOST}:${port}`);
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`${this.url}/health/ready`)).status === 200;
  }

  /** The sum of a counter or a gauge over all its labels. */
  counter(name: string): Promise<number> {
    return counterOf(this.url, name);
  }

  stop(): Promise<void> {
    return this.app.close();
  }
}

/** The sum of a counter or a gauge of the app at this URL over all its labels. */
export async function counterOf(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^cloud_connector_${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}
