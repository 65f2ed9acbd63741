/** The REST API as a caller sees it. */
import type { SweepBody } from '../../apps/api-gateway/src/cluster/sweep.dto.js';
import { waitUntil } from '../../scripts/stack.mjs';

export interface Answer<Body> {
  status: number;
  headers: Headers;
  body: Body;
}

export interface ConnectionView {
  client_id: string;
  type: string;
  state: string;
  facts: Record<string, unknown>;
  handshake_message_id: string;
  offline_reason: string | null;
  last_message_at: string | null;
  held_messages: number;
  refused_until: string | null;
  shard: number;
}

export interface MessageView {
  message_id: string;
  status: string;
  status_history: { status: string; at: string; details: string | null }[];
}

export interface ProblemView {
  type: string;
  status: number;
  detail: string;
  request_id: string;
  errors?: { pointer?: string; in?: string; name?: string; detail: string }[];
}

export class Api {
  /** `credentials`: an API key or a token. */
  constructor(
    readonly url: string,
    private readonly credentials?: string,
  ) {}

  async call<Body>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<Body>> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(this.credentials !== undefined && { authorization: `Bearer ${this.credentials}` }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? undefined : JSON.parse(text)) as Body,
    };
  }

  connection(id: string): Promise<Answer<ConnectionView>> {
    return this.call('GET', `/v1/connections/${encodeURIComponent(id)}`);
  }

  /** All connections, page by page. */
  async connections(): Promise<ConnectionView[]> {
    const found: ConnectionView[] = [];
    let cursor = '';
    do {
      const path = `/v1/connections?limit=1000${cursor}`;
      const { body } = await this.call<{ data: ConnectionView[]; next_cursor: string | null }>('GET', path);
      found.push(...body.data);
      cursor = body.next_cursor === null ? '' : `&cursor=${encodeURIComponent(body.next_cursor)}`;
    } while (cursor !== '');
    return found;
  }

  send(id: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer<MessageView>> {
    return this.call('POST', `/v1/connections/${encodeURIComponent(id)}/messages`, body, headers);
  }

  /** Waits until the connection fits. */
  async untilConnection(id: string, fits: (connection: ConnectionView) => boolean): Promise<ConnectionView> {
    return waitUntil(
      async () => {
        const { status, body } = await this.connection(id);
        if (status !== 200 || !fits(body)) throw new Error(`${id} is ${JSON.stringify(body)}`);
        return body;
      },
      { what: `connection ${id}` },
    );
  }

  /**
   * Waits until a sweep has ended that read everything: until then a message to an unknown client is answered with 503 instead
   * of 404. Needs the scope cluster:read, and no account.
   */
  async untilBuilt(): Promise<void> {
    await waitUntil(
      async () => {
        const { status, body } = await this.call<SweepBody>('GET', '/v1/cluster/sweeps/latest');
        if (status !== 200 || body.state !== 'ended' || body.complete !== true) throw new Error(JSON.stringify(body));
      },
      { what: 'the registry to be built by the first sweep' },
    );
  }

  /** Verifies a connection. A read may fail, or take longer than a request waits: then the request is to be repeated. */
  async verify<Body = ConnectionView & { changed: boolean; outcome: string }>(id: string): Promise<Answer<Body>> {
    return waitUntil(
      async () => {
        const answer = await this.call<Body>('POST', `/v1/connections/${id}/verify`);
        if (answer.status === 503) throw new Error(JSON.stringify(answer.body));
        return answer;
      },
      { what: `the verification of ${id}` },
    );
  }

  /** Requests a sweep, and waits until it has ended. */
  async sweep(timeoutMs = 60_000): Promise<SweepBody> {
    const { body: requested } = await this.call<{ sweep_id: string }>('POST', '/v1/cluster/sweeps');
    return waitUntil(
      async () => {
        const { body } = await this.call<{ sweep: SweepBody | null }>(
          'GET',
          `/v1/cluster/sweeps/${requested.sweep_id}`,
        );
        if (body.sweep?.state !== 'ended') throw new Error(JSON.stringify(body));
        return body.sweep;
      },
      { what: 'the sweep to end', timeoutMs },
    );
  }

  async untilStatus(messageId: string, ...statuses: string[]): Promise<MessageView> {
    return waitUntil(
      async () => {
        const { body } = await this.call<MessageView>('GET', `/v1/messages/${messageId}`);
        if (!statuses.includes(body.status)) throw new Error(`message is ${JSON.stringify(body)}`);
        return body;
      },
      { what: `message ${messageId} to be ${statuses.join(' or ')}` },
    );
  }
}
