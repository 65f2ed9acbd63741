/** An operator at the console: finds devices, sees what happens to them, and acts. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright-core';
import { ROOT } from '../../scripts/setup.mjs';
import { waitUntil } from '../../scripts/stack.mjs';
import { TestClient } from '../support/mqtt-client.js';
import { docsTests } from './parts/docs.js';
import { logInTests } from './parts/oidc-log-in.js';
import { DEVICES, Stage } from './support/stage.js';

/** The files that the gateway serves. */
const BUILT = join(ROOT, 'dist/console');
const stage = new Stage();

beforeAll(() => stage.start(), 90_000);
afterEach(() => stage.operator.leave());
afterAll(() => stage.stop());

/** A connected client of the test's own. */
async function device(id: string, facts?: Record<string, unknown>): Promise<TestClient> {
  const client = await TestClient.connect(stage.brokerUrl, id);
  await client.shakeHands(facts);
  await stage.api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

function row(page: Page, clientId: string): ReturnType<Page['getByRole']> {
  return page.getByRole('row').filter({ has: page.getByRole('link', { name: clientId, exact: true }) });
}

/** Lets the time of a page pass faster until the check succeeds: what it shows is read again, and its stream opened, after seconds. */
async function untilRead(page: Page, check: () => Promise<void>, everyMs = 250): Promise<void> {
  await waitUntil(
    async () => {
      await page.clock.fastForward(5000);
      await check();
    },
    { everyMs },
  );
}

async function untilLive(page: Page): Promise<void> {
  await untilRead(page, async () => expect(await page.getByText('Live', { exact: true }).isVisible()).toBe(true));
}

it('the address of the service leads to the console, and its log-in takes a key', async () => {
  const { page, faults } = await stage.operator.visit('');
  await page.goto(stage.url);
  await page.getByLabel('API key').fill('no-such-key');
  await page.getByRole('button', { name: 'Use this key' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByLabel('API key').fill(stage.keys.all);
  await page.getByRole('button', { name: 'Use this key' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  expect(await page.evaluate('Object.keys(localStorage).join()')).toBe('cloud-connector.theme');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('API key').waitFor();
  expect(faults).toEqual([]);
});

it('a search finds a device, and the list shows that it is gone without being loaded again', async () => {
  const client = await device('searched-1');
  const { page, faults } = await stage.operator.visit('connections', stage.keys.all);
  await page.getByText(`${(DEVICES + 1).toLocaleString()} in all`, { exact: true }).waitFor();
  await page.getByRole('searchbox', { name: 'Search' }).fill('searched');
  await page.getByText('1 in all', { exact: true }).waitFor();
  expect(page.url()).toContain('text=searched');
  await row(page, 'searched-1').getByText('online', { exact: true }).waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  client.vanish();
  await row(page, 'searched-1').getByText('offline', { exact: true }).waitFor();
  expect(faults).toEqual([]);
});

it('a call shows the progress of the device and its answer', async () => {
  const { page, faults } = await stage.operator.visit('connections/device-0001', stage.keys.all);
  await page.getByLabel('Directive').fill('demo:work');
  await page.getByLabel('Payload').fill('{"steps": 3,}');
  await page.getByText('Line 1, column 13: property name expected').waitFor();
  expect(await page.getByRole('button', { name: 'Call', exact: true }).isDisabled()).toBe(true);
  await page.getByLabel('Payload').fill('{"steps": 3}');
  await page.getByRole('button', { name: 'Call', exact: true }).click();
  const card = page.getByRole('article');
  await card.getByRole('region', { name: 'The answer' }).getByText('"steps": 3').waitFor();
  await card.getByText('answered').first().waitFor();
  expect(faults).toEqual([]);
});

it('ten connections are forced off after a question that counts them', async () => {
  const ids = Array.from({ length: 10 }, (_, i) => `many-${i}`);
  await Promise.all(ids.map((id) => device(id)));
  const { page, faults } = await stage.operator.visit('connections?text=many-', stage.keys.all);
  await page.getByText('10 in all', { exact: true }).waitFor();
  await page.getByRole('checkbox', { name: 'Select all that are loaded' }).check();
  await page.getByRole('button', { name: 'Force off …' }).click();
  await page.getByRole('heading', { name: 'Force off 10 connections?' }).waitFor();
  await page.getByRole('button', { name: 'Force off 10' }).click();
  await page.getByText('10 of 10 done').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  for (const id of ids) await stage.api.untilConnection(id, ({ refused_until: until }) => until !== null);
  expect(faults).toEqual([]);
});

it('a message that waits for an offline client is cancelled', async () => {
  const client = await device('held-1');
  client.vanish();
  await stage.api.untilConnection('held-1', ({ state }) => state === 'offline');
  const { body } = await stage.api.send('held-1', { directive: 'later' });
  const { page, faults } = await stage.operator.visit(`messages/${body.message_id}`, stage.keys.all);
  await page.getByText('held').first().waitFor();
  await page.getByRole('button', { name: 'Cancel the message' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the message' }).click();
  await page.getByText('cancelled').first().waitFor();
  await stage.api.untilStatus(body.message_id, 'cancelled');
  expect(faults).toEqual([]);
});

it('a dead letter says who sent it, and why it could not be processed', async () => {
  const client = await device('clumsy-1');
  await client.publish('{"type": "host-handshake", "no": "version"}', false);
  const { reason } = await waitUntil(async () => {
    const { body } = await stage.api.call<{ data: { client_id: string; reason: string }[] }>(
      'GET',
      '/v1/cluster/dead-letters',
    );
    const found = body.data.find(({ client_id: id }) => id === 'clumsy-1');
    if (found === undefined) throw new Error('there is no dead letter of the device');
    return found;
  });
  const { page, faults } = await stage.operator.visit('dead-letters', stage.keys.all);
  const letter = page.getByRole('article').filter({ hasText: 'clumsy-1' });
  await letter.getByText(reason, { exact: true }).waitFor();
  await letter.getByText('"no": "version"').waitFor();
  expect(faults).toEqual([]);
});

it('a key sees only what it may do', async () => {
  const { page, faults } = await stage.operator.visit('connections/device-0002', stage.keys.reader);
  await page.getByRole('heading', { name: 'device-0002' }).waitFor();
  for (const name of ['Call', 'Send', 'Verify', 'Force off']) {
    expect(await page.getByRole('button', { name, exact: true }).count()).toBe(0);
  }
  const views = page.getByRole('navigation', { name: 'Views' });
  expect(await views.getByRole('link').allTextContents()).toEqual(['Overview', 'Connections', 'Messages', 'Events']);
  await page.goto(`${stage.url}/console/connections`);
  await page.getByText('in all').waitFor();
  expect(await page.getByRole('checkbox', { name: 'Select all that are loaded' }).count()).toBe(0);
  expect(faults).toEqual([]);
});

it('a key of an account sees the connections of this account, and no cluster', async () => {
  stage.accounts.accounts.set('of-a-1', 'a');
  await device('of-a-1');
  const { page, faults } = await stage.operator.visit('connections', stage.keys.bound);
  await page.getByText('account a').waitFor();
  await row(page, 'of-a-1').getByText('online', { exact: true }).waitFor();
  await page.getByText('1 in all', { exact: true }).waitFor();
  expect(await page.getByRole('link', { name: 'Cluster' }).count()).toBe(0);
  await page.goto(`${stage.url}/console/`);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  expect(faults).toEqual([]);
});

it('a name full of markup stays a text', async () => {
  const markup = '<script>document.title="run"</script><img src=x onerror="document.title=\'run\'">';
  await device('hostile-1', { fqdn: markup });
  const { page, faults } = await stage.operator.visit('connections?text=hostile', stage.keys.all);
  await page.getByText(markup).waitFor();
  await page.getByRole('link', { name: 'hostile-1' }).click();
  await page.getByRole('definition').getByText(markup, { exact: true }).waitFor();
  expect(await page.title()).toBe('hostile-1 · Cloud Connector');
  expect(faults).toEqual([]);
});

it('the first load takes 250 KiB at most, gzipped, with everything that the overview uses', async () => {
  const { page, faults } = await stage.operator.visit('nowhere');
  const loaded = new Set<string>();
  page.on('response', (response) => loaded.add(new URL(response.url()).pathname));
  await page.goto(`${stage.url}/console/`);
  await page.evaluate(`sessionStorage.setItem('cloud-connector.token', ${JSON.stringify(stage.keys.all)})`);
  await page.reload();
  await page.getByText('Live', { exact: true }).waitFor();
  await page.locator('canvas').first().waitFor();
  const files = [...loaded].filter((path) => path.startsWith('/console/') && !path.endsWith('.json'));
  const sizes = files.map((path) => {
    const file = join(BUILT, path === '/console/' ? 'index.html' : path.slice('/console/'.length));
    return statSync(existsSync(`${file}.gz`) ? `${file}.gz` : file).size;
  });
  expect(files.length).toBeGreaterThan(4);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(250 * 1024);
  expect(faults).toEqual([]);
});

it('the filter by client applies while events pour in', async () => {
  const busy = await device('busy-1');
  const { page, faults } = await stage.operator.visit('events', stage.keys.all);
  await page.getByText('Live', { exact: true }).waitFor();
  let poured = 0;
  let isEnough = false;
  const pour = async (): Promise<void> => {
    while (!isEnough) {
      const fqdn = `busy-${poured++}.example.com`;
      await busy.shakeHands({ fqdn });
      await stage.api.untilConnection('busy-1', ({ facts }) => facts['fqdn'] === fqdn);
    }
  };
  const pouring = pour();
  try {
    await page.getByRole('link', { name: 'busy-1' }).nth(3).waitFor();
    await page.getByRole('textbox', { name: 'Client' }).fill('device-0005');
    await page.waitForURL(/client=device-0005/);
  } finally {
    isEnough = true;
    await pouring;
  }
  await stage.api.send('device-0005', { directive: 'demo:ping' });
  await page.getByRole('link', { name: 'device-0005' }).first().waitFor();
  expect(await page.getByRole('link', { name: 'busy-1' }).count()).toBe(0);

  await page.getByRole('button', { name: 'Pause' }).click();
  await stage.api.send('device-0005', { directive: 'demo:ping' });
  await page.getByRole('button', { name: /^Resume \(\d+ new\)$/ }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  expect(faults).toEqual([]);
});

it('a tab that is hidden closes its stream, and shows what it missed, each event once, when it is shown again', async () => {
  const client = await device('unseen-1');
  const { page, faults } = await stage.operator.visit('events?client=unseen-1', stage.keys.all);
  const updates = page.getByRole('list', { name: 'Events' }).getByText('connection.updated');
  const change = async (fqdn: string): Promise<void> => {
    await client.shakeHands({ fqdn });
    await stage.api.untilConnection('unseen-1', ({ facts }) => facts['fqdn'] === fqdn);
  };
  await page.getByText('Live', { exact: true }).waitFor();
  for (const [missed, fqdn] of ['one.example.com', 'two.example.com'].entries()) {
    const closed = page.waitForEvent('requestfailed', (request) => request.url().includes('/v1/events'));
    await page.evaluate(
      `Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
       document.dispatchEvent(new Event('visibilitychange'));`,
    );
    await closed;
    await change(fqdn);
    await page.evaluate(`delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'));`);
    await updates.nth(missed).waitFor();
  }
  await page.getByText('Live', { exact: true }).waitFor();
  expect(await updates.count()).toBe(2);
  expect(faults).toEqual([]);
});

it('a page that has lost the gateway says so, and goes on where it was', async () => {
  const client = await device('patient-1');
  const { page, faults } = await stage.operator.visit('events?client=patient-1', stage.keys.all, { hasClock: true });
  await page.getByText('Live', { exact: true }).waitFor();
  const { port } = stage.gateway;
  await stage.gateway.stop();
  await page.getByText('Not live: connecting again …').waitFor();
  await client.shakeHands({ fqdn: 'while-it-was-away.example.com' });
  await stage.startGateway(port);
  await untilLive(page);
  await page.getByRole('list', { name: 'Events' }).getByText('connection.updated').waitFor();
  expect(faults).toEqual([]);
});

it('the page of a device says what happened to it before the page was opened', async () => {
  const client = await device('unsteady-1');
  client.vanish();
  await stage.api.untilConnection('unsteady-1', ({ state }) => state === 'offline');
  await device('unsteady-1');
  const { page, faults } = await stage.operator.visit('connections/unsteady-1', stage.keys.all);
  const changes = page.getByRole('list', { name: 'Changes' }).getByRole('listitem');
  await changes.nth(2).waitFor();
  const states = (await changes.allTextContents()).map((text) => /^(Online|Offline)/.exec(text)?.[0]);
  expect(states).toEqual(['Online', 'Offline', 'Online']);
  expect(await changes.nth(1).textContent()).toContain('The broker published its last will');
  expect(faults).toEqual([]);
});

it('each view says that it is not up to date while Redis does not answer, and nothing on it looks healthy', async () => {
  const { page } = await stage.operator.visit('connections/device-0004', stage.keys.all, { hasClock: true });
  await page.getByText('Live', { exact: true }).waitFor();
  stage.redis.child.kill('SIGSTOP');
  try {
    const notice = page.getByRole('alert').filter({ hasText: 'What you see was read' });
    // A request must be answered before its time limit of 30 seconds has passed for the page.
    await untilRead(page, async () => expect(await notice.count()).toBe(1), 1000);
    await page.getByText('Not live').waitFor();
    await page.getByRole('link', { name: 'Messages', exact: true }).click();
    await page.getByRole('heading', { name: 'Messages' }).waitFor();
    expect(await notice.count()).toBe(1);
  } finally {
    stage.redis.child.kill('SIGCONT');
  }
  await untilRead(page, async () => expect(await page.getByRole('alert').count()).toBe(0));
  await untilLive(page);
});

it('each view says that no dispatcher works, until one does', async () => {
  const { page, faults } = await stage.operator.visit('messages', stage.keys.all, { hasClock: true });
  await stage.dispatcher.stop();
  const notice = page.getByRole('alert').filter({ hasText: 'Dispatchers: none is running' });
  await untilRead(page, async () => expect(await notice.count()).toBe(1));
  await stage.startDispatcher();
  await untilRead(page, async () => expect(await notice.count()).toBe(0));
  expect(faults).toEqual([]);
});

it('no view has a serious fault for axe, light or dark, or is wider than a phone', async () => {
  const path = 'connections/device-0003';
  const { page, faults } = await stage.operator.visit(path, stage.keys.all, {
    size: { width: 390, height: 844 },
  });
  for (const view of ['device-0003', 'Overview', 'Connections', 'Messages', 'Events', 'Cluster', 'Dead letters']) {
    if (view !== 'device-0003') {
      await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: view, exact: true }).click();
    }
    await page.getByRole('heading', { name: view, level: 1 }).waitFor();
    if (view !== 'Dead letters') await page.getByText('Live', { exact: true }).waitFor();
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      // There are no frames, for which the other mode would open a page of its own.
      const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ['violations'] });
      // In the dark, only the colours differ.
      const { violations } = await (colorScheme === 'dark' ? axe.withRules('color-contrast') : axe).analyze();
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      expect(serious.map(({ id, nodes }) => [view, id, nodes.map(({ html }) => html)])).toEqual([]);
    }
    expect([view, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([view, 390]);
  }
  expect(faults).toEqual([]);
});

describe('the page of the OpenAPI document', () => docsTests(stage));

describe('with an issuer', () => logInTests(stage));
