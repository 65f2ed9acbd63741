/**
 * Structured logs on stdout: one JSON line for each event, or readable text on a terminal. The members request_id,
 * client_id, message_id, shard, lane and epoch say what a line is about.
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

/** Logs Node's warnings, and the text that libraries print on the console, as lines of the logger. */
export function logConsoleOutput(logger: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => logger.warn({ err: warning }, 'warning of the Node process'));
  const logAt = (level: 'debug' | 'info' | 'warn' | 'error') => {
    return (...printed: unknown[]): void => {
      const err = printed.find((value) => value instanceof Error);
      // An object may hold a secret, so it is not printed.
      const text = format(
        ...printed.map((value) => (typeof value === 'object' && value !== null ? '[object]' : value)),
      );
      logger[level]({ err, printed: text }, 'a library printed text');
    };
  };
  Object.assign(console, {
    debug: logAt('debug'),
    log: logAt('info'),
    info: logAt('info'),
    warn: logAt('warn'),
    error: logAt('error'),
  });
}

/** Logs Nest's own lines with the same logger; its lines at the start have the level debug. */
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
