/// <reference lib="dom" />
/* global document, PerformanceObserver, requestAnimationFrame -- the meter runs in the page */
/**
 * How smoothly the list of connections scrolls in a browser: by the wheel and in leaps, as somebody does who drags the scroll bar, while it
 * loads page after page; and in leaps over what is loaded. Beside it a bare page scrolls a plain element of the same height by the same
 * steps, because a machine without a GPU draws that slowly too.
 */
import { chromium } from 'playwright-core';
import { findProgram } from '../scripts/setup.mjs';
import { percentile, round } from './measure.mjs';

/** Nothing of Chromium may use the network, and a container has neither a sandbox nor a GPU. */
const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];
const SIZE = { width: 1360, height: 860 };
/** Ten rows: a wheel that is turned fast. */
const WHEEL_PX = 400;
/** More than is in sight, so that all rows are others. */
const LEAP_PX = 3000;

/** @typedef {{ steps: number, seconds: number }} Limits of each scroll */

/** @param {string} url of a gateway that asks for no key @param {Limits} limits */
export async function scrollConnections(url, limits) {
  const executablePath = findProgram('chromium');
  const browser = await chromium.launch({ ...(executablePath && { executablePath }), args: ARGUMENTS });
  try {
    const context = await browser.newContext({ viewport: SIZE });
    const page = await context.newPage();
    await page.goto(`${url}/console/connections`);
    const list = page.getByRole('region', { name: 'Connections' });
    await list.getByRole('row').nth(20).waitFor();
    await list.hover();
    const wheel = await scroll(page, WHEEL_PX, limits);
    const leaps = await scroll(page, LEAP_PX, limits);
    const back = await scroll(page, -LEAP_PX, limits);
    const height = await list.evaluate(({ scrollHeight }) => scrollHeight);
    const loaded = Number(await list.getByRole('table').getAttribute('aria-rowcount')) - 1;
    const heapMiB = await heapOf(page);
    await page.close();
    const plain = await plainPage(context, height);
    const bareWheel = await scroll(plain, WHEEL_PX, limits);
    const bareLeaps = await scroll(plain, LEAP_PX, limits);
    return {
      table: {
        'by the wheel, pages are loaded': wheel,
        'the wheel on a plain element': bareWheel,
        'in leaps, pages are loaded': leaps,
        'in leaps, all is loaded': back,
        'leaps of a plain element': bareLeaps,
      },
      loaded,
      heapMiB,
    };
  } finally {
    await browser.close();
  }
}

/** @param {import('playwright-core').Page} page @param {number} stepPx @param {Limits} limits */
async function scroll(page, stepPx, { steps, seconds }) {
  const from = performance.now();
  const meter = await page.evaluateHandle(startMeter);
  for (let step = 0; step < steps && performance.now() < from + seconds * 1000; step++) {
    await page.mouse.wheel(0, stepPx);
  }
  const { times, longTasks, rows } = await meter.evaluate(({ stop }) => stop());
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time));
  return {
    'frames/s': round((gaps.length / gaps.reduce((sum, gap) => sum + gap, 0)) * 1000, 1),
    p95: round(percentile(gaps, 0.95), 1),
    longest: round(Math.max(...gaps), 1),
    'long tasks': longTasks.length,
    'longest task': round(Math.max(0, ...longTasks), 1),
    rows,
    seconds: round((performance.now() - from) / 1000, 1),
  };
}

/** What the objects of a page take, after a collection. @param {import('playwright-core').Page} page */
async function heapOf(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  await session.send('Performance.enable');
  const { metrics } = await session.send('Performance.getMetrics');
  return round((metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? NaN) / 2 ** 20, 1);
}

/** @param {import('playwright-core').BrowserContext} context @param {number} height */
async function plainPage(context, height) {
  const page = await context.newPage();
  await page.setContent(
    `<main style="height: 600px; overflow: auto"><div style="height: ${height}px">Plain</div></main>`,
  );
  await page.locator('main').hover();
  return page;
}

/** Runs in the page: notes the time of each frame, the long tasks, and the most rows that were there at a time. */
function startMeter() {
  /** @type {{ times: number[], longTasks: number[], rows: number }} */
  const frames = { times: [], longTasks: [], rows: 0 };
  let isRunning = true;
  const note = (/** @type {number} */ time) => {
    if (!isRunning) return;
    frames.times.push(time);
    frames.rows = Math.max(frames.rows, document.querySelectorAll('[role=row]').length);
    requestAnimationFrame(note);
  };
  const noteTasks = (/** @type {PerformanceEntryList} */ tasks) => {
    frames.longTasks.push(...tasks.map(({ duration }) => duration));
  };
  const observer = new PerformanceObserver((list) => noteTasks(list.getEntries()));
  observer.observe({ type: 'longtask' });
  requestAnimationFrame(note);
  const stop = () => {
    isRunning = false;
    noteTasks(observer.takeRecords());
    observer.disconnect();
    return frames;
  };
  return { stop };
}
