/** Counters at their first scrape. An alert on the rise of a counter misses an event if the counter appears with it. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { register } from 'prom-client';
import { ownershipMetrics } from '../../libs/sharding/src/ownership-metrics.js';

const ROOT = join(__dirname, '../..');
/** Labels whose values are known only at run time: the code that learns a value makes its first sample. */
const OPEN_LABELS = ['lane', 'setting'];

const declaring = ['apps', 'libs']
  .flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((path) => join(ROOT, folder, path)),
  )
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.spec.ts') && !path.endsWith('platform/src/metrics.ts'))
  .filter((path) => /\bcounter\(/.test(readFileSync(path, 'utf8')));

it('an app that owns no shards does not expose the metrics of those that do', async () => {
  await import('../../apps/api-gateway/src/gateway.module.js');
  await import('../../apps/dispatcher/src/dispatcher.module.js');
  const names = (await register.getMetricsAsJSON()).map(({ name }) => name);
  expect(names.length).toBeGreaterThan(10);
  expect(
    names.filter((name) => /_connector_(shards_owned|lanes_owned)|unfit|lease_changes|fencing|hand_off/.test(name)),
  ).toEqual([]);
});

it('every counter begins with a sample of 0 for each combination of its labels', async () => {
  for (const path of declaring) await import(path);
  ownershipMetrics();
  const counters = (await register.getMetricsAsJSON()).filter(
    ({ name, type }) => String(type) === 'counter' && name.startsWith('cloud_connector_'),
  );
  expect(counters.length).toBeGreaterThan(20);
  const without = counters.filter(({ values }) => values.length === 0).map(({ name }) => name);
  const open = declaring
    .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/\bcounter\(\s*'(\w+)',[^;]*?(\w+): OPEN\b/g)])
    .map(([, name = '', label = '']) => [`cloud_connector_${name}_total`, label] as const);
  expect(open.filter(([, label]) => !OPEN_LABELS.includes(label))).toEqual([]);
  expect(without.toSorted()).toEqual(open.map(([name]) => name).toSorted());
});
