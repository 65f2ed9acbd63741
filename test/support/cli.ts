/** Runs the command-line tool in this process, against an HTTP server of the test. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import type { Programs } from '../../libs/client/src/cli/context.js';
import { run } from '../../libs/client/src/cli/run.js';

export interface CliResult {
  exit: number;
  out: string;
  err: string;
}

export interface CliOptions {
  env?: Record<string, string>;
  /** What the output is written to; not a terminal by default. */
  terminal?: { columns: number; rows: number };
  programs?: Programs;
  /** Gets the output so far, after each write. */
  onOutput?: (out: string) => void;
  interrupted?: AbortSignal;
}

/** A server whose response the test chooses. */
export class CliServer {
  answer: (response: ServerResponse, request: IncomingMessage) => void = (response) => response.end();

  private readonly server = createServer((request, response) => this.answer(response, request));

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Answers each request with this value. */
  answerWith(value: unknown, status = 200): void {
    this.answer = (response) => {
      const type = status < 400 ? 'application/json' : 'application/problem+json';
      response.writeHead(status, { 'content-type': type }).end(value === undefined ? '' : JSON.stringify(value));
    };
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return runCli(args, { ...options, env: { CLOUD_CONNECTOR_URL: this.url, ...options.env } });
  }
}

export async function runCli(
  args: readonly string[],
  { env = {}, terminal, programs = {}, onOutput, interrupted }: CliOptions = {},
): Promise<CliResult> {
  const texts = { out: '', err: '' };
  const into = (name: 'out' | 'err'): Writable => {
    const stream = new Writable({
      write: (chunk: Buffer, _, done) => {
        texts[name] += chunk.toString();
        if (name === 'out') onOutput?.(texts.out);
        done();
      },
    });
    return terminal === undefined ? stream : Object.assign(stream, terminal, { isTTY: true });
  };
  const untilInterrupted = (): AbortSignal => interrupted ?? new AbortController().signal;
  // Profiles of the person who runs the test do not count.
  const all = { XDG_CONFIG_HOME: '/nowhere', ...env };
  const exit = await run(args, { env: all, stdout: into('out'), stderr: into('err'), untilInterrupted, programs });
  return { exit, ...texts };
}
