/**
 * Structured logs: one JSON line an event on stdout, readable text on a terminal. Members name what a line is
 * about: request_id, client_id, message_id, shard, lane, epoch.
 */
import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { BufferedLines } from './buffered-lines.js';

export type { Logger };

export function createLogger(app: string, level: string): Logger {
  const destination: DestinationStream = process.stdout.isTTY
    ? PinoPretty({ ignore: 'pid,app', translateTime: 'SYS:HH:MM:ss.l', singleLine: true })
    : toStdout();
  return pino(
    {
      level,
      base: { app, pid: process.pid },
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

function toStdout(): DestinationStream {
  const lines = new BufferedLines(pino.destination({ dest: 1, sync: false }));
  process.on('exit', () => lines.flushSync());
  return lines;
}

/** Nest's own lines through the same logger. What Nest says at start is of interest to its developers only: debug. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }

  error(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    this.logger.error({ err: message instanceof Error ? message : undefined, context }, String(message));
  }

  warn(message: unknown, context?: string): void {
    this.logger.warn({ context }, String(message));
  }

  debug(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }

  verbose(message: unknown, context?: string): void {
    this.logger.trace({ context }, String(message));
  }
}
