/**
 * The manifests as kustomize renders them: each object fits its schema, and together they keep the promises that no
 * schema knows (selectors meet labels, ports and settings agree with the apps, secrets stay secret).
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { Deployment, type IDeployment, type IStatefulSet, StatefulSet } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Service, ServiceAccount } from 'kubernetes-models/v1';
import { parse, parseAllDocuments } from 'yaml';

import { dispatcherSettings } from '../../apps/dispatcher/src/dispatcher.settings.js';
import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { bodyLimits } from '../../apps/api-gateway/src/http/http.settings.js';
import { APPS, SECRETS, seconds } from './settings.js';

const ROOT = join(__dirname, '../..');
const BASE = join(ROOT, 'k8s/base');
const README = join(ROOT, 'k8s/README.md');
const SECRET_NAME = 'cloud-connector-secrets';

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

interface ModelClass {
  is(value: unknown): boolean;
  readonly prototype: { readonly validate: () => void };
}

const MODELS: readonly ModelClass[] = [
  ConfigMap,
  Deployment,
  HorizontalPodAutoscaler,
  NetworkPolicy,
  PodDisruptionBudget,
  Service,
  ServiceAccount,
  StatefulSet,
];

const MIB = 1024 * 1024;

/** Of a document, what stands below a heading of the second level. */
function section(text: string, heading: string): string {
  return text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
}

function render(folder: string): string {
  for (const command of ['kustomize build', 'kubectl kustomize']) {
    const [program = '', verb = ''] = command.split(' ');
    const { error, status, stdout, stderr } = spawnSync(program, [verb, folder], { encoding: 'utf8' });
    if (error) continue;
    if (status !== 0) throw new Error(`${command} ${folder} failed:\n${stderr}`);
    return stdout;
  }
  throw new Error('neither kustomize nor kubectl is installed; Debian has kubectl: apt-get install kubernetes-client');
}

/** Throws unless the object fits the schema of its kind. */
function validate(object: unknown): void {
  const model = MODELS.find((candidate) => candidate.is(object));
  if (!model) throw new Error(`no schema for ${JSON.stringify(object)}`);
  Reflect.apply(model.prototype.validate, object, []);
}

/**
 * Paths the schema knows nothing of. The schemas allow any extra field, which a cluster then drops without a word, so a
 * misspelt one passes; but a validator reads every field that it knows, and what it never reads is not in the schema.
 */
function unknownFields(object: unknown): string[] {
  const unread = new Set<string>();
  const watch = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const fields = new Map(Object.entries(value).map(([key, field]) => [key, watch(field, `${path}/${key}`)]));
    for (const key of fields.keys()) unread.add(`${path}/${key}`);
    return new Proxy(value, {
      get(target, key) {
        if (typeof key !== 'string' || !fields.has(key)) return Reflect.get(target, key) as unknown;
        unread.delete(`${path}/${key}`);
        return fields.get(key);
      },
    });
  };
  validate(watch(object, ''));
  return [...unread];
}

const rendered = render(BASE);
const manifests = parseAllDocuments(rendered).map((document) => document.toJS() as Manifest);
const objects: readonly unknown[] = manifests;
const configMaps = objects.filter(ConfigMap.is);
const services = objects.filter(Service.is);
const autoscalers = objects.filter(HorizontalPodAutoscaler.is);
const budgets = objects.filter(PodDisruptionBudget.is);
const policies = objects.filter(NetworkPolicy.is);
const workloads: (IDeployment | IStatefulSet)[] = [...objects.filter(Deployment.is), ...objects.filter(StatefulSet.is)];
const version = (parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;

describe('schema', () => {
  it.each(manifests.map((manifest) => [manifest.kind, manifest.metadata.name, manifest] as const))(
    '%s %s',
    (_, __, manifest) => {
      expect(() => validate(manifest)).not.toThrow();
      expect(unknownFields(manifest)).toEqual([]);
    },
  );

  it('rejects a wrong type and finds a misspelt field', () => {
    const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' } };
    expect(() => validate({ ...service, spec: { ports: [{ port: 'http' }] } })).toThrow('/spec/ports/0/port');
    expect(unknownFields({ ...service, spec: { selectors: { a: 'b' } } })).toContain('/spec/selectors');
    expect(unknownFields({ ...service, spec: { selector: { a: 'b' } } })).toEqual([]);
  });

  it('leaves no file of the base out', () => {
    const { resources } = parse(readFileSync(join(BASE, 'kustomization.yaml'), 'utf8')) as { resources: string[] };
    const files = readdirSync(BASE).filter((file) => file !== 'kustomization.yaml');
    expect([...resources].sort()).toEqual(files.sort());
  });
});

describe('network policies', () => {
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
  ])('%s reaches what it needs, and only labelled namespaces reach it', (app, own, who) => {
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
});

describe('the overlay of the README', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-overlay-'));
  const overlay = join(dir, 'overlays/production');
  let everything: Manifest[];

  beforeAll(() => {
    const [, text = ''] = /^```yaml\n(apiVersion: kustomize.*?)^```$/ms.exec(readFileSync(README, 'utf8')) ?? [];
    cpSync(BASE, join(dir, 'base'), { recursive: true });
    mkdirSync(overlay, { recursive: true });
    writeFileSync(join(overlay, 'kustomization.yaml'), text);
    everything = parseAllDocuments(render(overlay)).map((document) => document.toJS() as Manifest);
  });

  afterAll(() => rmSync(dir, { recursive: true }));

  it('takes every image from the registry of the reader', () => {
    const own = everything.filter((one) => Deployment.is(one) || StatefulSet.is(one)) as (IDeployment | IStatefulSet)[];
    const images = own.flatMap(({ spec }) => spec?.template.spec?.containers.map(({ image }) => image) ?? []);
    expect(images.toSorted()).toEqual(
      Object.keys(APPS)
        .map((app) => `images.example.com/cloud-connector/${app}:${version}`)
        .toSorted(),
    );
  });

  it('says how many ingesters there are, since a field that is left out becomes 1', () => {
    const ingesters: unknown[] = everything.filter((one) => StatefulSet.is(one));
    expect(ingesters).toMatchObject([{ spec: { replicas: 4 } }]);
  });
});

describe.each(Object.entries(APPS))('%s', (app, { port, settings }) => {
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

  it('has its labels selected', () => {
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

  it('gets only settings that it reads', () => {
    const names = container?.env?.map(({ name }) => name) ?? [];
    expect([...settings, 'NODE_OPTIONS']).toEqual(expect.arrayContaining(names));
    expect(pod?.enableServiceLinks).toBe(false);
    expect(container?.envFrom).toEqual([{ configMapRef: { name: 'cloud-connector' } }]);
  });

  it('takes what may carry credentials from the secret', () => {
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

describe('together', () => {
  it('every workload and every pod-selecting object belongs to a known app', () => {
    const names = Object.keys(APPS).sort();
    expect(workloads.map(({ metadata }) => metadata?.name).sort()).toEqual(names);
    for (const { metadata } of [...services, ...autoscalers, ...budgets]) expect(names).toContain(metadata?.name);
  });

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

  it('shared settings are known, open, and bind beyond loopback', () => {
    expect(configMaps.map(({ metadata }) => metadata?.name)).toEqual(['cloud-connector']);
    const data = configMaps[0]?.data ?? {};
    const known = Object.values(APPS).flatMap(({ settings }) => settings);
    expect(known.filter((name) => !SECRETS.includes(name))).toEqual(expect.arrayContaining(Object.keys(data)));
    expect(data).toMatchObject({ HOST: '0.0.0.0' });
    expect(data).not.toHaveProperty('PORT');
  });

  it('no credentials are written down', () => {
    expect(manifests.map(({ kind }) => kind)).not.toContain('Secret');
    expect(rendered).not.toMatch(/\w:\/\//);
  });

  it('runs two ingesters, one to take over from the other, behind a headless service', () => {
    const ingesters = objects.filter(StatefulSet.is);
    expect(ingesters.map(({ spec }) => [spec?.serviceName, spec?.replicas])).toEqual([['status-ingester', 2]]);
    const service = services.find(({ metadata }) => metadata?.name === 'status-ingester');
    expect(service?.spec?.clusterIP).toBe('None');
  });

  it('lets the autoscaler alone decide how many gateways and dispatchers there are', () => {
    const scaled = autoscalers.map(({ spec }) => spec.scaleTargetRef);
    const deployments = objects.filter(Deployment.is);
    expect(deployments).toHaveLength(2);
    expect(scaled).toMatchObject(
      deployments.map(({ apiVersion, kind, metadata }) => ({ apiVersion, kind, name: metadata?.name })),
    );
    for (const { spec } of deployments) {
      expect(spec).not.toHaveProperty('replicas');
    }
    for (const { spec } of autoscalers) {
      expect(spec.minReplicas).toBeGreaterThanOrEqual(2);
      expect(spec.behavior?.scaleDown?.policies).toEqual([{ type: 'Pods', value: 1, periodSeconds: 60 }]);
    }
  });

  it('spreads pods over nodes and zones, and does not count those of another revision', () => {
    for (const { kind, spec } of workloads) {
      const spreads = spec?.template.spec?.topologySpreadConstraints;
      expect(spreads?.map(({ topologyKey }) => topologyKey)).toEqual([
        'kubernetes.io/hostname',
        'topology.kubernetes.io/zone',
      ]);
      for (const { labelSelector, matchLabelKeys } of spreads ?? []) {
        expect(labelSelector).toEqual(spec?.selector);
        // A StatefulSet ends a pod before it makes the new one, so that old and new never stand side by side.
        expect(matchLabelKeys).toEqual(kind === 'Deployment' ? ['pod-template-hash'] : undefined);
      }
    }
  });

  it('ends no gateway or dispatcher before a new one is ready, and replaces ingesters one by one', () => {
    for (const { spec } of objects.filter(Deployment.is)) {
      expect(spec?.strategy).toEqual({
        type: 'RollingUpdate',
        rollingUpdate: { maxSurge: '25%', maxUnavailable: 0 },
      });
    }
    for (const { spec } of objects.filter(StatefulSet.is)) {
      expect(spec?.updateStrategy).toEqual({ type: 'RollingUpdate' });
    }
  });

  it('names the protocol of every port, or each apply would find a difference', () => {
    const ports = policies.flatMap(({ spec }) => [...(spec?.ingress ?? []), ...(spec?.egress ?? [])]);
    for (const { protocol } of ports.flatMap(({ ports: each = [] }) => each)) expect(protocol).toMatch(/^(TCP|UDP)$/);
  });

  it('takes down one pod of each app at a time, and never blocks a node drain', () => {
    expect(budgets.map(({ metadata }) => metadata?.name).sort()).toEqual([
      'api-gateway',
      'dispatcher',
      'status-ingester',
    ]);
    for (const { metadata, spec } of budgets) {
      expect(spec).toMatchObject({ maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' });
      const workload = workloads.find((candidate) => candidate.metadata?.name === metadata?.name);
      expect(spec?.selector).toEqual(workload?.spec?.selector);
    }
  });
});
