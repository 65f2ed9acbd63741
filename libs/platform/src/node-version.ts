/** @returns an error message for the operator if this Node is not one of `engines` in package.json */
export function nodeVersionError(version = process.versions.node): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) return undefined;
  return `Node ${version} cannot run this: it needs Node 20.19 or newer of the 20s, or 22.12 or newer. Node 24 is best.`;
}
