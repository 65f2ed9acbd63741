/** An ACCOUNTS_URL on loopback that knows the accounts of clients; it can fail, hang, or answer nonsense. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export const TOKEN = 'a-token-for-the-endpoint';

export class AccountEndpoint {
  /** Client id → account. */
  readonly accounts = new Map<string, string>();
  /** Prefix of client ids → how their look-ups are answered. */
  readonly moods = new Map<string, 'away' | 'hangs' | 'moved' | 'huge' | 'nonsense'>();
  readonly asked: { clientId: string; authorization: string | undefined; path: string }[] = [];
  url = '';

  private readonly server = createServer((request, response) => {
    const { searchParams, pathname } = new URL(request.url ?? '/', 'http://localhost');
    const clientId = searchParams.get('client_id') ?? '';
    this.asked.push({ clientId, authorization: request.headers.authorization, path: pathname });
    const mood = [...this.moods].find(([prefix]) => clientId.startsWith(prefix))?.[1];
    if (mood === 'hangs') return;
    response.setHeader('content-type', 'application/json');
    if (mood === 'away') response.writeHead(500).end();
    else if (mood === 'moved') response.writeHead(302, { location: `${this.url}?client_id=of-a` }).end();
    else if (mood === 'huge') response.end(JSON.stringify({ account: 'a', filling: 'x'.repeat(1_000_000) }));
    else if (mood === 'nonsense') response.end('{"account": ["a"]}');
    else if (this.accounts.has(clientId)) response.end(JSON.stringify({ account: this.accounts.get(clientId) }));
    else response.writeHead(404).end('{}');
  });

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/clients/lookup`;
    return this;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
