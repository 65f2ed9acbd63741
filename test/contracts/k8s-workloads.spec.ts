/** The workload of each app fits the app: container, probes, settings, secrets, memory and network policy. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ServiceAccount } from 'kubernetes-models/v1';

import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { bodyLimits } from '../../apps/api-gateway/src/http/http.settings.js';
import { dispatcherSettings } from '../../apps/dispatcher/src/dispatcher.settings.js';
import { ROOT, SECRET_NAME, configMaps, objects, policies, services, version, workloads } from './manifests.js';
import { APPS, SECRETS, seconds } from './settings.js';

const MIB = 1024 * 1024;

/** Of a document, what stands below a heading of the second level. */
function section(text: string, heading: string): string {
  return text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
}

describe.each(Object.entries(APPS))('the workload of %s', (app, { port, settings }) => {
  const workload = workloads.find((candidate) => candidate.metadata?.name === app);
  const template = workload?.spec?.template;
  const pod = template?.spec;
  const container = pod?.containers[0];

  it('is one container of this version', () => {
    expect(pod?.containers).toHaveLength(1);
    expect(pod?.initContainers).toBeUndefined();
    // The registry is a name that nobody can own: an overlay replaces it.
    expect(container?.image).toBe(`registry.invalid/cloud-connector/${app}:${version}`);
  });

  it('is selected by its own labels', () => {
    expect(template?.metadata?.labels).toMatchObject({
      'app.kubernetes.io/name': app,
      'app.kubernetes.io/part-of': 'cloud-connector',
    });
    expect(template?.metadata?.labels).toEqual(workload?.spec?.selector.matchLabels);
  });

  it('serves probes and clients on one port, and metrics on it or on one that no Service leads to', () => {
    const management = settings.includes('MANAGEMENT_PORT') ? 3003 : undefined;
    expect(container?.ports).toEqual([
      { name: 'http', containerPort: port },
      ...(management === undefined ? [] : [{ name: 'management', containerPort: management }]),
    ]);
    const given = container?.env?.find(({ name }) => name === 'MANAGEMENT_PORT')?.value;
    expect(given).toBe(management?.toString());
    expect(container?.env).toContainEqual({ name: 'PORT', value: String(port) });
    expect(container?.startupProbe?.httpGet).toEqual({ path: '/health/live', port: 'http' });
    expect(container?.livenessProbe?.httpGet).toEqual({ path: '/health/live', port: 'http' });
    expect(container?.readinessProbe?.httpGet).toEqual({ path: '/health/ready', port: 'http' });
    expect(template?.metadata?.annotations).toEqual({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(management ?? port),
      'prometheus.io/path': '/metrics',
    });
    const service = services.find((candidate) => candidate.metadata?.name === app);
    if (service) {
      expect(service.spec?.ports).toEqual([{ name: 'http', port, targetPort: 'http' }]);
      expect(service.spec?.selector).toEqual(template?.metadata?.labels);
    }
  });

  it('runs without privileges', () => {
    expect(pod?.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('has an account of its own without a token', () => {
    expect(pod?.serviceAccountName).toBe(app);
    const account = objects.filter(ServiceAccount.is).find((candidate) => candidate.metadata?.name === app);
    expect(account?.automountServiceAccountToken).toBe(false);
  });

  it('asks for resources and is bounded in memory', () => {
    expect(Object.keys(container?.resources?.requests ?? {}).sort()).toEqual(['cpu', 'memory']);
    expect(container?.resources?.limits).toHaveProperty('memory');
  });

  it('gets no setting that its app does not read', () => {
    const names = container?.env?.map(({ name }) => name) ?? [];
    expect([...settings, 'NODE_OPTIONS']).toEqual(expect.arrayContaining(names));
    expect(pod?.enableServiceLinks).toBe(false);
    expect(container?.envFrom).toEqual([{ configMapRef: { name: 'cloud-connector' } }]);
  });

  it('takes settings that may carry credentials from the secret', () => {
    const secrets = container?.env?.filter(({ name }) => SECRETS.includes(name)) ?? [];
    expect(secrets.map(({ name }) => name)).toEqual(SECRETS.filter((name) => settings.includes(name)));
    for (const { name, value, valueFrom } of secrets) {
      expect(value).toBeUndefined();
      expect(valueFrom?.secretKeyRef).toMatchObject({ name: SECRET_NAME, key: name });
      expect(valueFrom?.secretKeyRef?.optional ?? false).toBe(name === 'SHARE_GROUP');
    }
  });

  it('finds the API keys where it looks for them, and follows their changes', () => {
    const path = container?.env?.find(({ name }) => name === 'API_KEYS_FILE')?.value;
    expect(path !== undefined).toBe(settings.includes('API_KEYS_FILE'));
    if (path === undefined) return;
    const mount = container?.volumeMounts?.find(({ mountPath }) => mountPath === dirname(path));
    expect(mount).toMatchObject({ readOnly: true });
    expect(mount).not.toHaveProperty('subPath');
    const volume = pod?.volumes?.find(({ name }) => name === mount?.name);
    expect(volume?.secret?.secretName).toBe('cloud-connector-api-keys');
  });

  it('gets more time to end than it takes', () => {
    const wait = container?.lifecycle?.preStop?.sleep?.seconds ?? 0;
    const grace = seconds(configMaps[0]?.data?.SHUTDOWN_GRACE);
    expect(pod?.terminationGracePeriodSeconds).toBeGreaterThan(wait + grace);
  });
});

describe('the network policies', () => {
  const applying = (labels: Record<string, string>): typeof policies =>
    policies.filter(({ spec }) => {
      const { matchLabels = {}, matchExpressions = [] } = spec?.podSelector ?? {};
      return (
        Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
        matchExpressions.every(({ key, values = [] }) => values.includes(labels[key] ?? ''))
      );
    });
  const portsOf = (
    rules: readonly { ports?: readonly { port?: number | string }[] }[],
  ): (number | string | undefined)[] => rules.flatMap(({ ports = [] }) => ports.map(({ port }) => port));

  it.each([
    ['api-gateway', [443], ['callers → http', 'monitoring → management']],
    ['status-ingester', [443, 1883, 8883, 8885], ['monitoring → http']],
    ['dispatcher', [1883, 8883, 8885], ['monitoring → http']],
  ])('let %s reach what it needs, and only labelled namespaces reach it', (app, own, who) => {
    const labels = workloads.find(({ metadata }) => metadata?.name === app)?.spec?.template.metadata?.labels ?? {};
    const mine = applying(labels);
    const outgoing = portsOf(mine.flatMap(({ spec }) => spec?.egress ?? []));
    expect(new Set(outgoing)).toEqual(new Set([53, 6379, 6380, 26379, ...own]));
    const incoming = mine.flatMap(({ spec }) => spec?.ingress ?? []);
    const ways = incoming.flatMap(({ from = [], ports = [] }) => {
      expect([from.length > 0, ports.length > 0]).toEqual([true, true]);
      return from.flatMap(({ namespaceSelector }) =>
        Object.keys(namespaceSelector?.matchLabels ?? { anybody: '' }).flatMap((label) =>
          ports.map(({ port }) => `${label.replace('cloud-connector/', '')} → ${port}`),
        ),
      );
    });
    expect(ways.toSorted()).toEqual(who);
  });

  it('name the protocol of every port, without which each apply finds a difference', () => {
    const ports = policies.flatMap(({ spec }) => [...(spec?.ingress ?? []), ...(spec?.egress ?? [])]);
    for (const { protocol } of ports.flatMap(({ ports: each = [] }) => each)) expect(protocol).toMatch(/^(TCP|UDP)$/);
  });
});

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
