/** What package.json and its lock may hold: exact versions, digests, registries only, licences that allow the use. */

/** Licences that ask for no more than to be named. */
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

/** Packages whose script reports the installation to its author. Every install here leaves scripts out. */
const SCRIPT_LEFT_OUT = new Set(['node_modules/@scarf/scarf']);

/**
 * @typedef {{ version?: string, resolved?: string, integrity?: string, license?: string, dev?: boolean,
 *   devOptional?: boolean, optional?: boolean, link?: boolean, hasInstallScript?: boolean }} LockedPackage
 */

/**
 * @param {{ dependencies?: Record<string, string>, devDependencies?: Record<string, string>, overrides?: unknown }} manifest
 * @param {{ packages: Record<string, LockedPackage> }} lock
 * @returns {string[]} each thing that is wrong
 */
export function lockFaults(manifest, { packages }) {
  const faults = [];
  const asked = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  for (const [name, version] of asked) {
    if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) faults.push(`${name}: "${version}" is no exact version`);
    const locked = packages[`node_modules/${name}`]?.version;
    if (locked !== version) faults.push(`${name}: package.json asks for ${version}, the lock has ${locked ?? 'none'}`);
  }
  for (const [path, locked] of Object.entries(packages)) {
    if (path === '') continue;
    const { version, resolved, integrity, license, dev, devOptional, link, hasInstallScript, optional } = locked;
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
