/**
 * An OIDC issuer on loopback, where users log in: the authorization code flow with PKCE, as strict as a good one. Its tokens are
 * signed by the issuer of the security tests. It asks its users nothing: a test says what they answer.
 */
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { startIssuer, type Issuer } from '../../security/support/issuer.js';

export const CLIENT_ID = 'the-console';
export const REFRESH_TOKEN = 'a-refresh-token-that-nobody-keeps';

/** What the next user does, and what the issuer makes of it. */
export interface NextLogIn {
  /** Claims of the access token. */
  claims?: Record<string, unknown>;
  /** After how many seconds the access token expires; 300 by default. */
  expiresIn?: number;
  /** The user refuses, or may not log in. */
  error?: { error: string; error_description: string };
  /** The state that is sent back in place of the one that came. */
  state?: string;
}

interface Code {
  challenge: string;
  nonce: string;
  claims: Record<string, unknown>;
  expiresIn: number;
}

export class LogInIssuer {
  next: NextLogIn = {};
  /** False: the issuer answers 503. */
  isUp = true;
  /** What was asked wrongly, in words. */
  readonly faults: string[] = [];
  /** How many tokens were asked for. */
  tokenRequests = 0;
  /** The address of the gateway, whose console is the client. */
  gatewayUrl = '';
  private readonly codes = new Map<string, Code>();

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    private readonly signer: Issuer,
    readonly url: string,
  ) {}

  static async start(): Promise<LogInIssuer> {
    const signer = await startIssuer();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = new LogInIssuer(server, signer, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request, response) => {
      issuer.answer(request, response).catch((error: unknown) => {
        issuer.faults.push(String(error));
        response.writeHead(400, { 'content-type': 'application/json' }).end('{"error": "invalid_request"}');
      });
    });
    return issuer;
  }

  /** Settings of a gateway whose console logs in here. */
  get settings(): Record<string, string> {
    return { ...this.signer.settings, JWT_ISSUER: this.url, OIDC_CLIENT_ID: CLIENT_ID };
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
    await this.signer.stop();
  }

  private get redirectUri(): string {
    return `${this.gatewayUrl}/console/`;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    // As the same-origin policy has it: only the page of the client may read an answer.
    if (request.headers.origin === this.gatewayUrl) {
      response.setHeader('access-control-allow-origin', this.gatewayUrl);
      response.setHeader('vary', 'origin');
    }
    if (!this.isUp) response.writeHead(503).end();
    else if (pathname === '/.well-known/openid-configuration') this.discover(response);
    else if (pathname === '/authorize' && request.method === 'GET') this.authorize(searchParams, response);
    else if (pathname === '/token' && request.method === 'POST') await this.exchange(request, response);
    else if (pathname === '/favicon.ico') response.writeHead(404).end();
    else throw new Error(`${request.method} ${pathname} is not served`);
  }

  private discover(response: ServerResponse): void {
    sendJson(response, {
      issuer: this.url,
      authorization_endpoint: `${this.url}/authorize`,
      token_endpoint: `${this.url}/token`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['none'],
      authorization_response_iss_parameter_supported: true,
    });
  }

  private authorize(asked: URLSearchParams, response: ServerResponse): void {
    assertValues(asked, {
      response_type: 'code',
      client_id: CLIENT_ID,
      redirect_uri: this.redirectUri,
      scope: 'openid',
      code_challenge_method: 'S256',
    });
    const [state = '', nonce = '', challenge = ''] = ['state', 'nonce', 'code_challenge'].map(
      (name) => asked.get(name) ?? '',
    );
    for (const value of [state, nonce, challenge]) {
      if (!/^[\w-]{43}$/.test(value)) throw new Error(`${value} is not 256 random bits`);
    }
    const { claims = {}, expiresIn = 300, error, state: sentState = state } = this.next;
    const answer = new URLSearchParams({ state: sentState, iss: this.url, ...error });
    if (error === undefined) {
      const code = randomUUID();
      this.codes.set(code, { challenge, nonce, claims, expiresIn });
      answer.set('code', code);
    }
    response.writeHead(302, { location: `${this.redirectUri}?${answer.toString()}` }).end();
  }

  private async exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.tokenRequests++;
    const sent = new URLSearchParams(await text(request));
    const code = this.codes.get(sent.get('code') ?? '');
    this.codes.delete(sent.get('code') ?? '');
    assertValues(sent, { grant_type: 'authorization_code', client_id: CLIENT_ID, redirect_uri: this.redirectUri });
    if (code === undefined) throw new Error('the code is not known');
    const verifier = createHash('sha256')
      .update(sent.get('code_verifier') ?? '')
      .digest('base64url');
    if (verifier !== code.challenge) throw new Error('the code_verifier does not fit');
    const { claims, expiresIn, nonce } = code;
    const now = Math.floor(Date.now() / 1000);
    sendJson(response, {
      access_token: await this.signer.sign({ iss: this.url, exp: now + expiresIn, ...claims }),
      id_token: await this.signer.sign({ iss: this.url, aud: CLIENT_ID, iat: now, nonce }),
      refresh_token: REFRESH_TOKEN,
      token_type: 'Bearer',
      expires_in: expiresIn,
    });
  }
}

/** @throws Error unless each has its value, once */
function assertValues(given: URLSearchParams, expected: Record<string, string>): void {
  for (const [name, value] of Object.entries(expected)) {
    const found = given.getAll(name).join();
    if (found !== value) throw new Error(`${name} is ${found}`);
  }
}

function sendJson(response: ServerResponse, body: object): void {
  response
    .writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body));
}
