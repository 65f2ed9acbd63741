/** The memory limits of the workloads hold what the default settings can need, as docs/capacity.md reckons. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { dispatcherSettings } from '../../apps/dispatcher/src/dispatcher.settings.js';
import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { bodyLimits } from '../../apps/api-gateway/src/http/http.settings.js';
import { ROOT, workloads } from './manifests.js';

const MIB = 1024 * 1024;

/** Of a document, what stands below a heading of the second level. */
function section(text: string, heading: string): string {
  return text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
}

describe('the memory of a workload', () => {
  /** The heap and the limit of a workload, in MiB, and what the table of its memory in docs/capacity.md says. */
  function memoryOf(app: string, title: string) {
    const container = workloads.find(({ metadata }) => metadata?.name === app)?.spec?.template.spec?.containers[0];
    const options = container?.env?.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? '';
    const [, size, unit] = /^(\d+)([GM])i$/.exec(String(container?.resources?.limits?.memory)) ?? [];
    const table = section(readFileSync(join(ROOT, 'docs/capacity.md'), 'utf8'), title);
    const rows = [...table.matchAll(/^\| (.+?) +\| (yes|no) +\| (\d+) +\|$/gm)];
    return {
      heap: Number(/^--max-old-space-size=(\d+)$/.exec(options)?.[1]),
      limit: Number(size) * (unit === 'G' ? 1024 : 1),
      table,
      sum: (...where: string[]): number =>
        rows.reduce((total, [, , inHeap = '', mib]) => total + (where.includes(inHeap) ? Number(mib) : 0), 0),
      shown: (text: string): number => Number(rows.find(([, what = '']) => what.includes(text))?.[3]),
    };
  }

  const inMib = (bytes: number): number => Math.round(bytes / MIB);

  it('gives a gateway the memory that its default settings need at their limits, all at the same time', () => {
    const { heap, limit, table, sum, shown } = memoryOf('api-gateway', 'Memory of a gateway');
    const settings = gatewaySettings.parse({ REDIS_URL: 'redis://127.0.0.1:6379' });
    expect(shown('BODY_BYTES_TOTAL')).toBe(inMib(6 * bodyLimits(settings).total));
    expect(shown('MAX_CONNECTIONS')).toBe(inMib(settings.MAX_CONNECTIONS * 10.5 * 1024));
    expect(shown('EVENT_BUFFER_TOTAL')).toBe(inMib(settings.EVENT_BUFFER_TOTAL));
    expect(shown('EVENT_STREAMS')).toBe(inMib(settings.EVENT_STREAMS * 64 * 1024));
    expect(table).toContain(`**${sum('yes', 'no')}**`);
    expect(sum('yes')).toBeLessThanOrEqual(heap);
    expect(heap + sum('no')).toBeLessThanOrEqual(limit * 0.9);
  });

  it('gives a dispatcher the memory that its default settings need at their limits', () => {
    const { heap, limit, table, sum, shown } = memoryOf('dispatcher', 'Memory of a dispatcher');
    const redis = { REDIS_URL: 'redis://127.0.0.1:6379' };
    const { DISPATCH_CONCURRENCY } = dispatcherSettings.parse({ ...redis, MQTT_URL: 'mqtt://127.0.0.1:1883' });
    const bytes = DISPATCH_CONCURRENCY * gatewaySettings.parse(redis).MAX_PAYLOAD_BYTES;
    expect(shown('messages under way')).toBe(inMib(4 * bytes));
    expect(shown('packets')).toBe(inMib(bytes));
    expect(table).toContain(`**${sum('yes', 'no')}**`);
    expect(sum('yes')).toBeLessThanOrEqual(heap);
    expect(heap + sum('no')).toBeLessThanOrEqual(limit * 0.9);
  });
});
