/** The workload of each app: its container, ports, probes, privileges, settings and secrets agree with the app. */
import { dirname } from 'node:path';

import { ServiceAccount } from 'kubernetes-models/v1';

import { SECRET_NAME, configMaps, objects, services, version, workloads } from './manifests.js';
import { APPS, SECRETS, seconds } from './settings.js';

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
