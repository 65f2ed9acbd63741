/**
 * Starts an app. On SIGTERM or SIGINT it stops the app in order, and ends the process after `SHUTDOWN_GRACE` at the latest:
 * with 0 if every step has stopped, else with 1.
 */
import 'reflect-metadata';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { z } from 'zod';
import { httpOptions } from './http-server.js';
import { Lifecycle } from './lifecycle.js';
import { NestLogger, createLogger, logConsoleOutput, type Logger } from './logger.js';
import { collectAtRest } from './memory-at-rest.js';
import { RequirementError } from './requirement-error.js';
import { SettingsError, loadSettings, type CommonSettings } from './settings.js';
import { closeWithin } from './within.js';

export interface AppDefinition<Settings> {
  name: string;
  settings: z.ZodType<Settings & CommonSettings & { PORT: number }>;
  /** Wires the app; one of its providers is a `Lifecycle`. It opens connections, but waits for none. */
  module(settings: Settings & CommonSettings, logger: Logger): DynamicModule;
  adapter?(settings: Settings & CommonSettings, logger: Logger): FastifyAdapter;
  /** Called before the app listens, to add transports, filters or documents. */
  prepare?(app: NestFastifyApplication, settings: Settings & CommonSettings): void | Promise<void>;
}

export async function runApp<Settings>(definition: AppDefinition<Settings>): Promise<void> {
  let logger = createLogger(definition.name, 'info');
  try {
    const settings = loadSettings(definition.settings);
    logger = createLogger(definition.name, settings.LOG_LEVEL);
    logConsoleOutput(logger);
    await start(definition, settings, logger);
  } catch (error) {
    // A stack trace does not help the operator to correct a setting or a server.
    if (error instanceof SettingsError || error instanceof RequirementError) logger.fatal(error.message);
    else logger.fatal({ err: error }, 'could not start');
    end(logger, 1);
  }
}

async function start<Settings>(
  definition: AppDefinition<Settings>,
  settings: Settings & CommonSettings & { PORT: number },
  logger: Logger,
): Promise<void> {
  // Set the handlers before the first wait: process 1 of a container ignores signals without a handler.
  const stop = stopOnSignals(settings.SHUTDOWN_GRACE, logger);
  stopOnUncaughtErrors(settings.SHUTDOWN_GRACE, stop, logger);
  const app = await NestFactory.create<NestFastifyApplication>(
    definition.module(settings, logger),
    definition.adapter?.(settings, logger) ?? new FastifyAdapter(httpOptions(settings)),
    // An app that accepts request bodies configures their parser itself.
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest types its options as a class
    { logger: new NestLogger(logger), abortOnError: false, bodyParser: false },
  );
  stop.app = app;
  app.getHttpServer().maxConnections = settings.MAX_CONNECTIONS;
  await definition.prepare?.(app, settings);
  await app.init();
  await app.startAllMicroservices();
  await app.listen(settings.PORT, settings.HOST);
  logger.info({ host: settings.HOST, port: settings.PORT }, 'listening');
  if (!(await app.get(Lifecycle).start())) return;
  collectAtRest(logger);
  logger.info('started');
}

/** After an uncaught error the state of the process is unknown: it hands its work over, and exits with code 1. */
function stopOnUncaughtErrors(graceMs: number, target: { app?: NestFastifyApplication }, logger: Logger): void {
  let isStopping = false;
  const stop = (error: unknown): void => {
    logger.fatal({ err: error }, 'an error that was not caught: stopping');
    if (isStopping) return;
    isStopping = true;
    const exit = (): void => end(logger, 1);
    closeWithin(graceMs, () => target.app?.close()).then(exit, exit);
  };
  process.on('uncaughtException', stop);
  process.on('unhandledRejection', stop);
}

function stopOnSignals(graceMs: number, logger: Logger): { app?: NestFastifyApplication } {
  const target: { app?: NestFastifyApplication } = {};
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) return;
    stopping = true;
    logger.info({ signal }, 'stopping');
    const onLate = (): void =>
      logger.error({ grace_ms: graceMs }, 'the app did not stop within SHUTDOWN_GRACE: the process exits now');
    const lifecycle = target.app?.get(Lifecycle);
    closeWithin(graceMs, () => target.app?.close(), onLate).then(
      (closed) => {
        const inOrder = closed && lifecycle?.allStopped !== false;
        if (inOrder) logger.info('stopped');
        else if (closed) logger.error('stopped, but not everything was handed over: see the lines before');
        end(logger, inOrder ? 0 : 1);
      },
      (error: unknown) => {
        logger.error({ err: error }, 'stop failed');
        end(logger, 1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  return target;
}

function end(logger: Logger, code: number): void {
  logger.flush(() => process.exit(code));
}
