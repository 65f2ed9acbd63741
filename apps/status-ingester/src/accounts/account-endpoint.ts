/**
 * Accounts from an HTTP endpoint: `GET ACCOUNTS_URL?client_id=…` answers 200 `{"account": "…"}`, or 404 if the client
 * has none. Answers are remembered for a while, those that say "none" for a shorter one; what could not be asked is
 * not. A fixed number of requests is under way at a time, so that a slow endpoint slows nothing else.
 */
import { readFileSync } from 'node:fs';
import { Sampled, counter, type Logger } from '@app/platform';
import { LRUCache } from 'lru-cache';
import { Agent, request } from 'undici';
import { z } from 'zod';
import type { KnownAccount } from '../rules/effect.js';
import { ACCOUNT, type AccountResolver, type Resolution } from './account-resolver.js';

const asked = counter('account_requests', 'Requests to ACCOUNTS_URL, by outcome.', {
  outcome: ['account', 'none', 'unavailable'],
});

/** Answers remembered. */
const REMEMBERED = 100_000;
/** For how long at most it is remembered that a client has no account. */
const NONE_REMEMBERED_MS = 30_000;
/** Tries of one question. */
const TRIES = 2;
const CONNECTIONS = 16;
const MAX_ANSWER_BYTES = 65_536;

const Answer = z.object({ account: z.string().regex(ACCOUNT).nullable() });

export interface AccountEndpointOptions {
  url: string;
  /** File with a token to present. */
  tokenFile: string | undefined;
  timeoutMs: number;
  rememberMs: number;
}

type Known = Exclude<Resolution, { kind: 'unavailable' }>;

export class EndpointAccounts implements AccountResolver {
  private readonly answers: LRUCache<string, Known>;
  private readonly agent: Agent;
  private readonly warnings = new Sampled();

  constructor(
    private readonly options: AccountEndpointOptions,
    private readonly logger: Logger,
  ) {
    this.answers = new LRUCache({ max: REMEMBERED, ttl: options.rememberMs });
    const { timeoutMs } = options;
    this.agent = new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      connect: { timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxResponseSize: MAX_ANSWER_BYTES,
    });
  }

  known(clientId: string): KnownAccount {
    return this.answers.get(clientId) ?? { kind: 'ask' };
  }

  async resolve(clientId: string): Promise<Resolution> {
    const remembered = this.answers.get(clientId);
    if (remembered !== undefined) return remembered;
    for (let attempt = 1; ; attempt++) {
      const found = await this.ask(clientId);
      asked.inc({ outcome: found.kind });
      if (found.kind !== 'unavailable') {
        const ttl =
          found.kind === 'none' ? Math.min(NONE_REMEMBERED_MS, this.options.rememberMs) : this.options.rememberMs;
        this.answers.set(clientId, found, { ttl });
        return found;
      }
      if (attempt === TRIES) return found;
    }
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async ask(clientId: string): Promise<Resolution> {
    const { url, tokenFile, timeoutMs } = this.options;
    try {
      // In the query: in a path, an id such as ".." would lead elsewhere.
      const { statusCode, body } = await request(url, {
        query: { client_id: clientId },
        headers: {
          accept: 'application/json',
          ...(tokenFile !== undefined && { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` }),
        },
        dispatcher: this.agent,
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (statusCode === 404) {
        await body.dump();
        return { kind: 'none' };
      }
      if (statusCode !== 200) {
        await body.dump();
        throw new Error(`it answered with ${statusCode}`);
      }
      const { account } = Answer.parse(await body.json());
      return account === null ? { kind: 'none' } : { kind: 'account', account };
    } catch (error) {
      this.warnings.take((skipped) => {
        this.logger.warn({ err: error, client_id: clientId, skipped }, 'ACCOUNTS_URL could not be asked');
      });
      return { kind: 'unavailable' };
    }
  }
}
