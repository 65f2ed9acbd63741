/**
 * Accounts from an HTTP endpoint: `GET ACCOUNTS_URL?client_id=…` answers 200 `{"account": "…"}`, or 404 if the client
 * has none. Answers are cached; an answer that the client has no account is cached for a shorter time, and a failure not
 * at all. The number of concurrent requests is fixed, so that a slow endpoint slows nothing else.
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

/** Most answers that are cached. */
const CACHED_ANSWERS = 100_000;
/** Longest time for which an answer without an account is cached. */
const NONE_CACHED_MS = 30_000;
/** Requests for one client before its account counts as unavailable. */
const ATTEMPTS = 2;
const CONNECTIONS = 16;
const MAX_RESPONSE_BYTES = 65_536;

const Answer = z.object({ account: z.string().regex(ACCOUNT).nullable() });

export interface AccountEndpointOptions {
  url: string;
  /** File with the token that is sent. */
  tokenFile: string | undefined;
  timeoutMs: number;
  cacheMs: number;
}

type Answered = Exclude<Resolution, { kind: 'unavailable' }>;

export class EndpointAccounts implements AccountResolver {
  private readonly answers: LRUCache<string, Answered>;
  private readonly agent: Agent;
  private readonly warnings = new Sampled();

  constructor(
    private readonly options: AccountEndpointOptions,
    private readonly logger: Logger,
  ) {
    this.answers = new LRUCache({ max: CACHED_ANSWERS, ttl: options.cacheMs });
    const { timeoutMs } = options;
    this.agent = new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      connect: { timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxResponseSize: MAX_RESPONSE_BYTES,
    });
  }

  known(clientId: string): KnownAccount {
    return this.answers.get(clientId) ?? { kind: 'ask' };
  }

  async resolve(clientId: string): Promise<Resolution> {
    const cached = this.answers.get(clientId);
    if (cached !== undefined) return cached;
    for (let attempt = 1; ; attempt++) {
      const found = await this.ask(clientId);
      asked.inc({ outcome: found.kind });
      if (found.kind !== 'unavailable') {
        const { cacheMs } = this.options;
        const ttl = found.kind === 'none' ? Math.min(NONE_CACHED_MS, cacheMs) : cacheMs;
        this.answers.set(clientId, found, { ttl });
        return found;
      }
      if (attempt === ATTEMPTS) return found;
    }
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async ask(clientId: string): Promise<Resolution> {
    const { url, tokenFile, timeoutMs } = this.options;
    try {
      // The id goes into the query: in a path, an id such as ".." would lead to another resource.
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
        throw new Error(`ACCOUNTS_URL answered with status ${statusCode}, not 200 or 404`);
      }
      const { account } = Answer.parse(await body.json());
      return account === null ? { kind: 'none' } : { kind: 'account', account };
    } catch (error) {
      this.warnings.take((skipped) => {
        this.logger.warn(
          { err: error, client_id: clientId, skipped },
          'could not ask ACCOUNTS_URL for the account of a client; asking again later',
        );
      });
      return { kind: 'unavailable' };
    }
  }
}
