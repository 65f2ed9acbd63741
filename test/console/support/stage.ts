/** A whole system with 200 devices, and a browser in front of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { SCOPES, type Scope } from '../../../apps/api-gateway/src/access/scopes.js';
import { findProgram } from '../../../scripts/setup.mjs';
import { startApp, startFleet, startMosquitto, startRedis, stopAll, waitUntil } from '../../../scripts/stack.mjs';
import { AccountEndpoint, TOKEN } from '../../security/support/account-endpoint.js';
import { KeyRing } from '../../security/support/gateway.js';
import { Api } from '../../support/api.js';

/** Nothing of Chromium may use the network, and a container has neither a sandbox nor a GPU. */
const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];

export const DEVICES = 200;

/** A page, and what the browser had to say about it. */
export interface Visit {
  page: Page;
  /** Errors of scripts, and what the content security policy has stopped. */
  faults: string[];
}

export class Stage {
  readonly dir = mkdtempSync(join(tmpdir(), 'cloud-connector-console-'));
  readonly accounts = new AccountEndpoint();
  private readonly ring = new KeyRing(join(this.dir, 'keys.json'));
  readonly keys = {
    all: this.ring.add({ id: 'all', scopes: [...SCOPES] }),
    reader: this.ring.add({ id: 'reader', scopes: ['connections:read', 'messages:read', 'events:read'] }),
    bound: this.ring.add({ id: 'bound', scopes: [...SCOPES] satisfies Scope[], account: 'a' }),
  };
  url = '';
  brokerUrl = '';
  api!: Api;
  private browser!: Browser;

  async start(): Promise<void> {
    await this.accounts.start();
    const tokenFile = join(this.dir, 'token');
    writeFileSync(tokenFile, `${TOKEN}\n`);
    const { dir } = this;
    const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
    const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, EVENT_SETTLE: '0s' };
    const [gateway] = await Promise.all([
      startApp('api-gateway', { dir, env: { ...env, API_KEYS_FILE: this.ring.path } }),
      startApp('status-ingester', {
        dir,
        env: { ...env, ACCOUNTS_URL: this.accounts.url, ACCOUNTS_TOKEN_FILE: tokenFile },
      }),
      startApp('dispatcher', { dir, env }),
    ]);
    this.url = gateway.url;
    this.brokerUrl = mosquitto.url;
    this.api = new Api(gateway.url, this.keys.all);
    startFleet({ dir, count: DEVICES, mqttUrl: mosquitto.url });
    const executablePath = findProgram('chromium');
    if (executablePath === undefined) throw new Error('the tests of the console need chromium');
    this.browser = await chromium.launch({ executablePath, args: ARGUMENTS });
    await waitUntil(
      async () => {
        const { body } = await this.api.call<{ online: { total: number } }>('GET', '/v1/connections/summary');
        expect(body.online.total).toBe(DEVICES);
      },
      { what: 'all devices are online', timeoutMs: 60_000 },
    );
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await stopAll();
    await this.accounts.stop();
    rmSync(this.dir, { recursive: true });
  }

  /** Opens a view as somebody who has logged in; without a key, as a stranger. */
  async visit(path: string, key?: string, size = { width: 1360, height: 860 }): Promise<Visit> {
    const context = await this.browser.newContext({ viewport: size });
    if (key !== undefined) {
      const content = `sessionStorage.setItem('cloud-connector.token', ${JSON.stringify(key)})`;
      await context.addInitScript({ content });
    }
    const page = await context.newPage();
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(`${error.name}: ${error.message}`));
    page.on('console', (message) => {
      // A request that the service refuses is shown on the page, which the tests look at.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        faults.push(message.text());
    });
    await page.goto(`${this.url}/console/${path}`);
    return { page, faults };
  }
}
