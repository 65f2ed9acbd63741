/** The network policies: what each app reaches, and who reaches it. */
import { policies, workloads } from './manifests.js';

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
