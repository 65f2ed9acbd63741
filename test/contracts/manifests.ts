/** The base of k8s/ as kustomize renders it, by kind, and checks of one object against the schema of its kind. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Deployment, type IDeployment, type IStatefulSet, StatefulSet } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Service, ServiceAccount } from 'kubernetes-models/v1';
import { parse, parseAllDocuments } from 'yaml';

export const ROOT = join(__dirname, '../..');
export const BASE = join(ROOT, 'k8s/base');
export const README = join(ROOT, 'k8s/README.md');
export const SECRET_NAME = 'cloud-connector-secrets';

export interface Manifest {
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

/** The text that kustomize, or kubectl with its own kustomize, makes of a folder. */
export function render(folder: string): string {
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
export function validate(object: unknown): void {
  const model = MODELS.find((candidate) => candidate.is(object));
  if (!model) throw new Error(`no schema for ${JSON.stringify(object)}`);
  Reflect.apply(model.prototype.validate, object, []);
}

/**
 * Paths the schema knows nothing of. The schemas allow any extra field, which a cluster then drops without a word, so a
 * misspelt one passes; but a validator reads every field that it knows, and what it never reads is not in the schema.
 */
export function unknownFields(object: unknown): string[] {
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

export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

export const rendered = render(BASE);
export const manifests = manifestsOf(rendered);
export const objects: readonly unknown[] = manifests;
export const configMaps = objects.filter(ConfigMap.is);
export const services = objects.filter(Service.is);
export const autoscalers = objects.filter(HorizontalPodAutoscaler.is);
export const budgets = objects.filter(PodDisruptionBudget.is);
export const policies = objects.filter(NetworkPolicy.is);
export const workloads: (IDeployment | IStatefulSet)[] = [
  ...objects.filter(Deployment.is),
  ...objects.filter(StatefulSet.is),
];
export const version = (parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
