/** Answers requests with the examples of the OpenAPI document, and notes which operations were called. */
import type { IncomingMessage, ServerResponse } from 'node:http';

interface Media {
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

interface DocumentedOperation {
  operationId: string;
  responses: Record<string, { content?: Record<string, Media> }>;
}

export interface ApiDocument {
  paths: Record<string, Record<string, DocumentedOperation>>;
}

export class ExampleApi {
  readonly called: string[] = [];
  private readonly routes: { method: string; path: RegExp; operation: DocumentedOperation }[];

  constructor({ paths }: ApiDocument) {
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`),
        operation,
        // `/v1/connections/summary` is not the connection of a client.
        isExact: !path.includes('{'),
      })),
    );
    this.routes = routes.sort((a, b) => Number(b.isExact) - Number(a.isExact));
  }

  answer(response: ServerResponse, { method, url = '' }: IncomingMessage): void {
    const [path = ''] = url.split('?');
    const route = this.routes.find((one) => one.method === method && one.path.test(path));
    if (route === undefined) {
      response.writeHead(404).end();
      return;
    }
    const { operationId, responses } = route.operation;
    this.called.push(operationId);
    const [status = '500', { content = {} } = {}] = Object.entries(responses).find(([code]) => code < '300') ?? [];
    const [type = '', media = {}] = Object.entries(content)[0] ?? [];
    const found = media.example ?? Object.values(media.examples ?? {})[0]?.value;
    // Every page is the last one.
    const example =
      found !== null && typeof found === 'object' && 'next_cursor' in found ? { ...found, next_cursor: null } : found;
    response.writeHead(Number(status), type === '' ? {} : { 'content-type': type });
    if (type === 'text/event-stream') response.write(eventNow(example));
    else response.end(example === undefined ? '' : JSON.stringify(example));
  }
}

/** The example as an event of now: a stream that begins at a time has no older ones. */
function eventNow(example: unknown): string {
  const now = new Date();
  const event = { ...(example as object), at: now.toISOString(), event_id: `11-${now.getTime()}-0` };
  return `id: AgGtFbRdwA\ndata: ${JSON.stringify(event)}\n\n`;
}
