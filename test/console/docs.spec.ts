/** The page of the OpenAPI document in production, in a browser: it shows the operations and tries them out with a key. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startRedis, stopAll } from '../../scripts/stack.mjs';
import { KeyRing } from '../security/support/gateway.js';
import { Operator } from './support/operator.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-docs-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const key = ring.add({ id: 'reader', scopes: ['connections:read'] });
let operator: Operator;
let url: string;

beforeAll(async () => {
  const redis = await startRedis({ dir });
  const env = { REDIS_URL: redis.url, API_KEYS_FILE: ring.path, NODE_ENV: 'production', DOCS: 'public' };
  ({ url } = await startApp('api-gateway', { dir, env }));
  operator = await Operator.at(url);
}, 60_000);

afterAll(async () => {
  await operator.close();
  await stopAll();
  rmSync(dir, { recursive: true });
}, 30_000);

it('shows each operation, and tries one out with a key; the content security policy stops nothing', async () => {
  const { page, faults } = await operator.visit('/docs');
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> };
  const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods));
  await page
    .locator('.opblock')
    .nth(operations.length - 1)
    .waitFor();
  expect(await page.locator('.opblock').count()).toBe(operations.length);

  const list = page.locator('#operations-Connections-listConnections');
  await list.getByRole('button').first().click();
  await list.getByRole('button', { name: 'Try it out' }).click();
  const status = list.locator('.live-responses-table .response-col_status').last();
  await list.getByRole('button', { name: 'Execute' }).click();
  await status.getByText('401').waitFor();

  await page.getByRole('button', { name: 'Authorize' }).first().click();
  const dialog = page.locator('.dialog-ux');
  await dialog.getByLabel('auth-bearer-value').first().fill(key);
  await dialog.getByRole('button', { name: 'Apply credentials' }).first().click();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await list.getByRole('button', { name: 'Execute' }).click();
  await status.getByText('200').waitFor();
  expect(await list.locator('.request-url').textContent()).toContain(`${url}/v1/connections`);
  expect(faults).toEqual([]);
}, 60_000);
