/** Log-in at an issuer: the authorization code flow with PKCE, in a browser, and what becomes of its token. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { SCOPES } from '../../../apps/api-gateway/src/access/scopes.js';
import { startApp } from '../../../scripts/stack.mjs';
import { TestClient } from '../../support/mqtt-client.js';
import { LogInIssuer, REFRESH_TOKEN } from '../support/log-in-issuer.js';
import { Operator, type Visit } from '../support/operator.js';
import type { Stage } from '../support/stage.js';

const ALL = { sub: 'somebody', scope: SCOPES.join(' ') };

export function logInTests(stage: Stage): void {
  let issuer: LogInIssuer;
  let operator: Operator;
  let gatewayUrl: string;
  /** A page whose token expires while the other tests run. */
  let expiring: Visit;

  beforeAll(async () => {
    issuer = await LogInIssuer.start();
    const env = { ...stage.env, ...issuer.settings };
    const gateway = await startApp('api-gateway', { dir: stage.dir, name: 'log-in-gateway', env });
    gatewayUrl = issuer.gatewayUrl = gateway.url;
    operator = new Operator(stage.browser, gatewayUrl);
    const device = await TestClient.connect(stage.brokerUrl, 'log-in-1');
    await device.shakeHands();
    // Gateways accept a token for five seconds more.
    issuer.next = { claims: ALL, expiresIn: 5 };
    expiring = await new Operator(stage.browser, gatewayUrl).visit('events?types=shard.moved');
    await atIssuer(expiring.page).click();
    await expiring.page.getByText('Live', { exact: true }).waitFor();
  });

  afterAll(() => issuer.stop());

  afterEach(async () => {
    await operator.leave();
    expect(issuer.faults).toEqual([]);
    issuer.next = { claims: ALL };
    issuer.isUp = true;
  });

  /** The button that leads to the issuer. */
  function atIssuer(page: Page): ReturnType<Page['getByRole']> {
    return page.getByRole('button', { name: `Log in with ${new URL(issuer.url).host}` });
  }

  it('a log-in at the issuer leads to the view that was asked for, and keeps the access token for the tab only', async () => {
    issuer.next = { claims: ALL };
    const { page, faults } = await operator.visit('connections?text=log-in&state=online');
    await atIssuer(page).click();
    await page.getByRole('link', { name: 'log-in-1', exact: true }).waitFor();
    await page.getByText('token:somebody').waitFor();
    expect(page.url()).toBe(`${gatewayUrl}/console/connections?text=log-in&state=online`);
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
}

/** What the tab keeps, as one text. */
function kept(page: Page): Promise<string> {
  return page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }])');
}
