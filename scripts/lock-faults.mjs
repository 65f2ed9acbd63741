/**
 * Rules for the manifests of all workspaces and their lock: exact versions, each installed once; digests; packages from
 * registries only; licences that allow the use.
 */

/** Licences that require no more than to be named. */
const LICENCES = new Set([
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
  'Unlicense',
  'Python-2.0',
]);

/** Packages with a script that reports the installation to its author. Every install here runs without scripts. */
const SCRIPT_LEFT_OUT = new Set(['node_modules/@scarf/scarf']);

/**
 * @typedef {{ version?: string, resolved?: string, integrity?: string, license?: string, dev?: boolean,
 *   devOptional?: boolean, optional?: boolean, link?: boolean, hasInstallScript?: boolean }} LockedPackage
 */

/**
 * @typedef {{ dependencies?: Record<string, string>, devDependencies?: Record<string, string>,
 *   workspaces?: string[] }} Manifest
 */

/**
 * @param {Manifest[]} manifests the root's and those of its workspaces
 * @param {{ packages: Record<string, LockedPackage> }} lock
 * @returns {string[]} each thing that is wrong
 */
export function lockFaults(manifests, { packages }) {
  const faults = [];
  const workspaces = manifests.flatMap((manifest) => manifest.workspaces ?? []);
  const asked = manifests.flatMap(({ dependencies, devDependencies }) =>
    Object.entries({ ...dependencies, ...devDependencies }),
  );
  for (const [name, version] of asked) {
    if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) faults.push(`${name}: "${version}" is no exact version`);
    const locked = packages[`node_modules/${name}`]?.version;
    if (locked !== version)
      faults.push(`${name}: a package.json asks for ${version}, the lock has ${locked ?? 'none'}`);
  }
  for (const [path, locked] of Object.entries(packages)) {
    if (path === '' || workspaces.includes(path)) continue;
    if (!path.startsWith('node_modules/')) faults.push(`${path}: not at the root, so it is installed twice`);
    const { version, resolved, integrity, license, dev, devOptional, link, hasInstallScript, optional } = locked;
    if (link && workspaces.includes(resolved ?? '')) continue;
    if (link || (resolved !== undefined && !resolved.startsWith('https://')))
      faults.push(`${path}: not from a registry`);
    if (!integrity?.startsWith('sha512-')) faults.push(`${path}@${version ?? ''}: no digest`);
    if (dev || devOptional) continue;
    if (!permits(license)) faults.push(`${path}: licence ${license ?? 'unknown'}`);
    if (hasInstallScript && !optional && !SCRIPT_LEFT_OUT.has(path))
      faults.push(`${path}: runs a script when it is installed`);
  }
  return faults;
}

/** "(MIT OR GPL-2.0)" leaves the choice, "MIT AND Zlib" does not. */
function permits(/** @type {string | undefined} */ license) {
  if (license === undefined) return false;
  const choices = license.replaceAll(/[()]/g, '').split(' OR ');
  return choices.some((choice) => choice.split(' AND ').every((one) => LICENCES.has(one.trim())));
}
