/** What the manifests promise together: who scales, how a roll-out replaces pods, which settings all apps share. */
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1';

import { autoscalers, budgets, configMaps, manifests, objects, rendered, services, workloads } from './manifests.js';
import { APPS, SECRETS } from './settings.js';

describe('the manifests together', () => {
  it('belong to one of the apps each', () => {
    const names = Object.keys(APPS).sort();
    expect(workloads.map(({ metadata }) => metadata?.name).sort()).toEqual(names);
    for (const { metadata } of [...services, ...autoscalers, ...budgets]) expect(names).toContain(metadata?.name);
  });

  it('share only settings that an app knows and that carry no credentials, and bind beyond loopback', () => {
    expect(configMaps.map(({ metadata }) => metadata?.name)).toEqual(['cloud-connector']);
    const data = configMaps[0]?.data ?? {};
    const known = Object.values(APPS).flatMap(({ settings }) => settings);
    expect(known.filter((name) => !SECRETS.includes(name))).toEqual(expect.arrayContaining(Object.keys(data)));
    expect(data).toMatchObject({ HOST: '0.0.0.0' });
    expect(data).not.toHaveProperty('PORT');
  });

  it('contain no credentials', () => {
    expect(manifests.map(({ kind }) => kind)).not.toContain('Secret');
    expect(rendered).not.toMatch(/\w:\/\//);
  });

  it('run two ingesters, one to take over from the other, behind a headless service', () => {
    const ingesters = objects.filter(StatefulSet.is);
    expect(ingesters.map(({ spec }) => [spec?.serviceName, spec?.replicas])).toEqual([['status-ingester', 2]]);
    const service = services.find(({ metadata }) => metadata?.name === 'status-ingester');
    expect(service?.spec?.clusterIP).toBe('None');
  });

  it('let the autoscaler alone decide how many gateways and dispatchers there are', () => {
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

  it('spread pods over nodes and zones, and do not count those of another revision', () => {
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

  it('end no gateway or dispatcher before a new one is ready, and replace ingesters one by one', () => {
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

  it('take down one pod of each app at a time, and never block a node drain', () => {
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
