/**
 * `npm run screenshots`: pictures of each view of the console and of the command-line tool, written to docs/images; `-- NAME …` takes
 * some of them. It starts a system of its own with 25 devices,
 * some of which are called or forced off, so that each view has something to show. It takes five minutes: the charts have a value a minute.
 */
import { mkdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { chromium } from 'playwright-core';
import { runPrivately } from './private-run.mjs';
import { ROOT, ensureBuild, ensurePackages, ensurePrograms, findProgram } from './setup.mjs';
import { pictureOfTerminal } from './terminal-picture.mjs';
import { startFleet, startStack, waitUntil } from './stack.mjs';

const DEVICES = 25;
const WIDE = { width: 1360, height: 860 };
const SECONDS_OF_TRAFFIC = 240;
const PHONE = { width: 390, height: 844 };

/**
 * @typedef {object} Picture
 * @property {string} name of the file
 * @property {string} path of the view
 * @property {string} shows a text that is there once the view is complete
 * @property {typeof WIDE} [size]
 * @property {'light' | 'dark'} [scheme]
 * @property {'call' | 'traffic' | 'minutes'} [first] what happens before: a call with the form, calls to some devices, or calls for some minutes
 */

/** @type {Picture[]} */
const PICTURES = [
  { name: 'connections', path: 'connections', shows: '25 in all' },
  { name: 'connection', path: 'connections/device-0001', shows: 'device-0001.example.com', first: 'call' },
  { name: 'connection-phone', path: 'connections/device-0025', shows: 'It was forced off', size: PHONE },
  { name: 'messages', path: 'messages', shows: 'looked at' },
  { name: 'events', path: 'events', shows: 'answer size', first: 'traffic' },
  { name: 'cluster', path: 'cluster', shows: 'Absence can be proved' },
  { name: 'dead-letters', path: 'dead-letters', shows: 'version' },
  { name: 'overview', path: '', shows: 'nothing corrected', first: 'minutes' },
  { name: 'overview-dark', path: '', shows: 'nothing corrected', scheme: 'dark' },
  { name: 'overview-phone', path: '', shows: 'nothing corrected', size: PHONE },
];

/** What the picture of the terminal shows. */
const COMMANDS = [
  'connections list --prefix device-002',
  `messages call device-0001 demo:work --payload '{"steps": 3}'`,
  'connections messages device-0001',
];

const images = join(ROOT, 'docs', 'images');
await runPrivately('screenshots', main);

/** @param {string} dir */
async function main(dir) {
  ensurePackages('all');
  ensurePrograms(['redis-server', 'mosquitto', 'chromium']);
  ensureBuild();
  mkdirSync(images, { recursive: true });
  const { gateway, mosquitto } = await startStack({ dir });
  startFleet({ dir, count: DEVICES, mqttUrl: mosquitto.url });
  const call = callerOf(gateway.url);
  await waitUntil(async () => {
    const { online } = await call('GET', '/v1/connections/summary');
    if (online.total < DEVICES) throw new Error(`${online.total} devices are online`);
  });
  await giveWork(call, mosquitto.url);
  const executablePath = findProgram('chromium');
  const browser = await chromium.launch({
    ...(executablePath && { executablePath }),
    args: ['--no-sandbox', '--disable-gpu'],
  });
  try {
    if (isWanted('terminal')) {
      const env = { CLOUD_CONNECTOR_URL: gateway.url };
      await pictureOfTerminal(browser, join(images, 'terminal.png'), COMMANDS, env);
      console.log('docs/images/terminal.png');
    }
    for (const picture of PICTURES.filter(({ name }) => isWanted(name)))
      await take(browser, gateway.url, picture, call);
  } finally {
    await browser.close();
  }
}

/** Names as arguments choose pictures; without them all are taken. */
function isWanted(/** @type {string} */ name) {
  const names = process.argv.slice(2);
  return names.length === 0 || names.includes(name);
}

/** @typedef {(method: string, path: string, body?: unknown) => Promise<any>} Caller */

/** @returns {Caller} */
function callerOf(/** @type {string} */ url) {
  return async (method, path, body) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(url + path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
    return response.json();
  };
}

/** Calls to each device, one that is forced off, a message that waits for it, and a handshake without a version. */
async function giveWork(/** @type {Caller} */ call, /** @type {string} */ mqttUrl) {
  for (let i = 1; i <= DEVICES; i++) await pingOf(call, i);
  const last = `/v1/connections/${deviceId(DEVICES)}`;
  await forceOff(call, DEVICES);
  await call('POST', `${last}/messages`, { directive: 'demo:work', payload: { steps: 5 } });
  const clumsy = await connectAsync(mqttUrl, { clientId: 'old-device', protocolVersion: 4 });
  const handshake = '{"type": "host-handshake", "payload": {"fqdn": "old-device.example.com"}}';
  await clumsy.publishAsync('redhat/insights/in/old-device', handshake, { qos: 1 });
  await clumsy.endAsync();
}

function deviceId(/** @type {number} */ number) {
  return `device-${String(number).padStart(4, '0')}`;
}

async function pingOf(/** @type {Caller} */ call, /** @type {number} */ number) {
  const message = { directive: 'demo:ping', payload: { number }, response_timeout_seconds: 30 };
  await call('POST', `/v1/connections/${deviceId(number)}/messages`, message);
}

async function forceOff(/** @type {Caller} */ call, /** @type {number} */ number) {
  await call('POST', `/v1/connections/${deviceId(number)}/force-disconnect`, { reconnect_after: 'PT1H' });
  await waitUntil(async () => {
    const { state } = await call('GET', `/v1/connections/${deviceId(number)}`);
    if (state !== 'offline') throw new Error('it is online');
  });
}

/** @param {import('playwright-core').Browser} browser @param {string} url @param {Picture} picture @param {Caller} call */
async function take(browser, url, { name, path, shows, size = WIDE, scheme = 'light', first }, call) {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme, deviceScaleFactor: 1 });
  const page = await context.newPage();
  await page.goto(`${url}/console/${path}`);
  if (path !== 'dead-letters') await page.getByText('Live', { exact: true }).waitFor();
  if (first === 'call') {
    await page.getByLabel('Payload').fill('{"hello": "device"}');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.getByRole('region', { name: 'The answer' }).waitFor();
  }
  if (first === 'traffic') {
    for (const number of [2, 3, 5, 8]) await pingOf(call, number);
    await forceOff(call, DEVICES - 1);
  }
  if (first === 'minutes') {
    // The charts have a value a minute.
    for (let second = 0; second < SECONDS_OF_TRAFFIC; second++) {
      for (let i = 0; i <= second % 4; i++) await pingOf(call, 1 + ((second * 7 + i) % (DEVICES - 2)));
      await setTimeout(1000);
    }
  }
  await page.getByText(shows).first().waitFor();
  if (path === '') await page.locator('canvas').nth(2).waitFor();
  await page.screenshot({ path: join(images, `${name}.png`), animations: 'disabled' });
  await context.close();
  console.log(`docs/images/${name}.png`);
}
