/**
 * Structured logs: one JSON line an event on stdout, readable text on a terminal. Members name what a line is
 * about: request_id, client_id, message_id, shard, lane, epoch.
 */
import { format } from 'node:util';
import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { BufferedLines } from './buffered-lines.js';
import { loggedError } from './logged-error.js';

export type { Logger };

export function createLogger(app: string, level: string, destination: DestinationStream = toStdout()): Logger {
  return pino(
    {
      level,
      base: { app, pid: process.pid },
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => loggedError(error) },
    },
    destination,
  );
}

function toStdout(): DestinationStream {
  if (process.stdout.isTTY) {
    return PinoPretty({ ignore: 'pid,app', translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
  }
  const lines = new BufferedLines(pino.destination({ dest: 1, sync: false }));
  process.on('exit', () => lines.flushSync());
  return lines;
}

/** Node's warnings and what libraries print by themselves become lines of the logger: else they would be raw text. */
export function logForeignText(logger: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => logger.warn({ err: warning }, 'warning of the Node process'));
  const printing = (level: 'debug' | 'info' | 'warn' | 'error') => {
    return (...printed: unknown[]): void => {
      const err = printed.find((one) => one instanceof Error);
      // Printed in full, an object may show a secret.
      const text = format(...printed.map((one) => (typeof one === 'object' && one !== null ? '[object]' : one)));
      logger[level]({ err, printed: text }, 'a library printed text');
    };
  };
  Object.assign(console, {
    debug: printing('debug'),
    log: printing('info'),
    info: printing('info'),
    warn: printing('warn'),
    error: printing('error'),
  });
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
