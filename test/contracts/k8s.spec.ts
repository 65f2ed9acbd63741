/** Each manifest fits the schema of its kind, and the overlay of the README works. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Deployment, type IDeployment, type IStatefulSet, StatefulSet } from 'kubernetes-models/apps/v1';
import { parse } from 'yaml';

import {
  BASE,
  type Manifest,
  README,
  manifestsOf,
  manifests,
  render,
  unknownFields,
  validate,
  version,
} from './manifests.js';
import { APPS } from './settings.js';

describe('the schemas of the manifests', () => {
  it.each(manifests.map((manifest) => [manifest.kind, manifest.metadata.name, manifest] as const))(
    'accept %s %s and know all its fields',
    (_, __, manifest) => {
      expect(() => validate(manifest)).not.toThrow();
      expect(unknownFields(manifest)).toEqual([]);
    },
  );

  it('reject a wrong type and a misspelt field', () => {
    const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' } };
    expect(() => validate({ ...service, spec: { ports: [{ port: 'http' }] } })).toThrow('/spec/ports/0/port');
    expect(unknownFields({ ...service, spec: { selectors: { a: 'b' } } })).toContain('/spec/selectors');
    expect(unknownFields({ ...service, spec: { selector: { a: 'b' } } })).toEqual([]);
  });

  it('see every file of the base', () => {
    const { resources } = parse(readFileSync(join(BASE, 'kustomization.yaml'), 'utf8')) as { resources: string[] };
    const files = readdirSync(BASE).filter((file) => file !== 'kustomization.yaml');
    expect([...resources].sort()).toEqual(files.sort());
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
    everything = manifestsOf(render(overlay));
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

  it('sets the number of ingesters, since a missing field becomes 1', () => {
    const ingesters: unknown[] = everything.filter((one) => StatefulSet.is(one));
    expect(ingesters).toMatchObject([{ spec: { replicas: 4 } }]);
  });
});
