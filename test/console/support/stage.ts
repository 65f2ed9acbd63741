/** A whole system with 200 devices, and an operator in front of it. One for all tests: its start, and that of the browser, take a while. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCOPES, type Scope } from '../../../apps/api-gateway/src/access/scopes.js';
import { startApp, startFleet, startMosquitto, startRedis, stopAll, waitUntil } from '../../../scripts/stack.mjs';
import { AccountEndpoint, TOKEN } from '../../security/support/account-endpoint.js';
import { KeyRing } from '../../security/support/gateway.js';
import { Api } from '../../support/api.js';
import { Operator } from './operator.js';

export const DEVICES = 200;

export class Stage {
  readonly dir = mkdtempSync(join(tmpdir(), 'cloud-connector-console-'));
  readonly accounts = new AccountEndpoint();
  gateway!: Awaited<ReturnType<typeof startApp>>;
  redis!: Awaited<ReturnType<typeof startRedis>>;
  dispatcher!: Awaited<ReturnType<typeof startApp>>;
  /** The servers that the apps use. */
  env: Record<string, string> = {};
  private gatewayEnv: Record<string, string> = {};
  private readonly ring = new KeyRing(join(this.dir, 'keys.json'));
  readonly keys = {
    all: this.ring.add({ id: 'all', scopes: [...SCOPES] }),
    reader: this.ring.add({ id: 'reader', scopes: ['connections:read', 'messages:read', 'events:read'] }),
    bound: this.ring.add({ id: 'bound', scopes: [...SCOPES] satisfies Scope[], account: 'a' }),
  };
  url = '';
  brokerUrl = '';
  api!: Api;
  browser!: Awaited<ReturnType<typeof Operator.launch>>;
  operator!: Operator;

  async start(): Promise<void> {
    await this.accounts.start();
    const tokenFile = join(this.dir, 'token');
    writeFileSync(tokenFile, `${TOKEN}\n`);
    const { dir } = this;
    const [redis, mosquitto, browser] = await Promise.all([
      startRedis({ dir }),
      startMosquitto({ dir }),
      Operator.launch(),
    ]);
    this.browser = browser;
    const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, EVENT_SETTLE: '0s' };
    this.redis = redis;
    this.env = env;
    this.gatewayEnv = { ...env, API_KEYS_FILE: this.ring.path, NODE_ENV: 'production', DOCS: 'public' };
    await Promise.all([
      this.startGateway(),
      startApp('status-ingester', {
        dir,
        env: { ...env, ACCOUNTS_URL: this.accounts.url, ACCOUNTS_TOKEN_FILE: tokenFile },
      }),
      this.startDispatcher(),
    ]);
    const { url } = this.gateway;
    this.url = url;
    this.brokerUrl = mosquitto.url;
    this.api = new Api(url, this.keys.all);
    startFleet({ dir, count: DEVICES, mqttUrl: mosquitto.url });
    this.operator = new Operator(browser, url);
    await waitUntil(
      async () => {
        const { body } = await this.api.call<{ online: { total: number } }>('GET', '/v1/connections/summary');
        expect(body.online.total).toBe(DEVICES);
      },
      { what: 'all devices are online' },
    );
  }

  /** Starts the gateway, or starts it again at its port. */
  async startGateway(port?: number): Promise<void> {
    this.gateway = await startApp('api-gateway', {
      dir: this.dir,
      env: this.gatewayEnv,
      ...(port !== undefined && { port }),
    });
  }

  async startDispatcher(): Promise<void> {
    this.dispatcher = await startApp('dispatcher', { dir: this.dir, env: this.env });
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await stopAll();
    await this.accounts.stop();
    rmSync(this.dir, { recursive: true });
  }
}
