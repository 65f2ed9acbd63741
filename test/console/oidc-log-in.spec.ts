/** Log-in at an issuer: the authorization code flow with PKCE, in a browser, and what becomes of its token. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { startApp, startMosquitto, startRedis, stopAll } from '../../scripts/stack.mjs';
import { TestClient } from '../support/mqtt-client.js';
import { LogInIssuer, REFRESH_TOKEN } from './support/log-in-issuer.js';
import { Operator, type Visit } from './support/operator.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-oidc-'));
const ALL = { sub: 'somebody', scope: SCOPES.join(' ') };
let issuer: LogInIssuer;
let operator: Operator;
let gatewayUrl: string;
/** A page whose token expires while the other tests run. */
let expiring: Visit;

beforeAll(async () => {
  const [started, redis, mosquitto] = await Promise.all([
    LogInIssuer.start(),
    startRedis({ dir }),
    startMosquitto({ dir }),
  ]);
  issuer = started;
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env: { ...env, ...issuer.settings } }),
    startApp('status-ingester', { dir, env }),
  ]);
  gatewayUrl = issuer.gatewayUrl = gateway.url;
  operator = await Operator.at(gateway.url);
  const device = await TestClient.connect(mosquitto.url, 'device-1');
  await device.shakeHands();
  // Gateways accept a token for five seconds more.
  issuer.next = { claims: ALL, expiresIn: 5 };
  expiring = await operator.visit('events?types=shard.moved');
  await atIssuer(expiring.page).click();
  await expiring.page.getByText('Live', { exact: true }).waitFor();
}, 90_000);

afterAll(async () => {
  await operator.close();
  await stopAll();
  await issuer.stop();
  rmSync(dir, { recursive: true });
}, 30_000);

afterEach(() => {
  expect(issuer.faults).toEqual([]);
  issuer.next = { claims: ALL };
  issuer.isUp = true;
});

/** The button that leads to the issuer. */
function atIssuer(page: Page): ReturnType<Page['getByRole']> {
  return page.getByRole('button', { name: `Log in with ${new URL(issuer.url).host}` });
}

/** What the tab keeps, as one text. */
function kept(page: Page): Promise<string> {
  return page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }])');
}

it('a log-in at the issuer leads to the view that was asked for, and keeps the access token for the tab only', async () => {
  issuer.next = { claims: ALL };
  const { page, faults } = await operator.visit('connections?text=device&state=online');
  await atIssuer(page).click();
  await page.getByRole('link', { name: 'device-1', exact: true }).waitFor();
  await page.getByText('token:somebody').waitFor();
  expect(page.url()).toBe(`${gatewayUrl}/console/connections?text=device&state=online`);
  const [local, session] = JSON.parse(await kept(page)) as Record<string, string>[];
  expect(Object.keys(local ?? {})).toEqual(['cloud-connector.theme']);
  expect(Object.keys(session ?? {})).toEqual(['cloud-connector.token']);
  expect(await kept(page)).not.toContain(REFRESH_TOKEN);
  expect(faults).toEqual([]);
});

it('who is refused by the issuer reads why, and comes to the view that was asked for with the next log-in', async () => {
  issuer.next = { error: { error: 'access_denied', error_description: 'Somebody said no' } };
  const { page, faults } = await operator.visit('messages?status=sent');
  await atIssuer(page).click();
  await page.getByRole('alert').getByText('access_denied: Somebody said no').waitFor();
  expect(await kept(page)).not.toContain('cloud-connector.log-in');
  await page.getByRole('button', { name: 'Back to the log-in' }).click();
  issuer.next = { claims: ALL };
  await atIssuer(page).click();
  await page.getByRole('heading', { name: 'Messages', level: 1 }).waitFor();
  expect(page.url()).toBe(`${gatewayUrl}/console/messages?status=sent`);
  expect(faults).toEqual([]);
});

it('an answer with the state of another log-in gets no token', async () => {
  const before = issuer.tokenRequests;
  issuer.next = { claims: ALL, state: 'of-somebody-else' };
  const { page, faults } = await operator.visit('events');
  await atIssuer(page).click();
  await page.getByRole('alert').getByText('"state"').waitFor();
  expect(issuer.tokenRequests).toBe(before);
  expect(await kept(page)).not.toContain('cloud-connector.token');
  expect(page.url()).toBe(`${gatewayUrl}/console/events`);
  expect(faults).toEqual([]);
});

it('an issuer that does not answer is named in the log-in', async () => {
  const { page, faults } = await operator.visit('');
  issuer.isUp = false;
  await atIssuer(page).click();
  await page.getByRole('alert').getByText(issuer.url).waitFor();
  issuer.isUp = true;
  await atIssuer(page).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  expect(faults).toEqual([]);
});

it('a token whose scopes are too few shows which one is missing', async () => {
  issuer.next = { claims: { sub: 'reader', scope: 'messages:read' } };
  const { page, faults } = await operator.visit('connections');
  await atIssuer(page).click();
  await page.getByRole('alert').getByText('do not have the scope connections:read').waitFor();
  const views = page.getByRole('navigation', { name: 'Views' });
  expect(await views.getByRole('link').allTextContents()).toEqual(['Messages']);
  expect(faults).toEqual([]);
});

it('the page may connect to the issuer, and to nobody else', async () => {
  let asked = 0;
  const other = createServer((_request, response) => {
    asked++;
    response.setHeader('access-control-allow-origin', '*').end();
  }).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { page } = await operator.visit('');
  await atIssuer(page).waitFor();
  const connect = (url: string): Promise<unknown> =>
    page.evaluate(`new Promise((resolve) => {
      document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), { once: true });
      fetch(${JSON.stringify(url)}).then(({ status }) => resolve(status), () => undefined);
    })`);
  expect(await connect(`${issuer.url}/.well-known/openid-configuration`)).toBe(200);
  expect(await connect(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`)).toBe('connect-src');
  expect(asked).toBe(0);
  other.close();
});

it('a token that expires while the page is open leads to the log-in, which leads back', async () => {
  const { page, faults } = expiring;
  await page.getByRole('alert').getByText('"exp" claim').waitFor();
  expect(await page.getByRole('heading', { name: 'Events' }).count()).toBe(0);
  await atIssuer(page).click();
  await page.getByText('Live', { exact: true }).waitFor();
  expect(page.url()).toBe(`${gatewayUrl}/console/events?types=shard.moved`);
  expect(faults).toEqual([]);
});
