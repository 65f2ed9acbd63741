/** The example devices whose languages Debian has. */

/**
 * `prepare` builds it.
 * @typedef {{ prepare: () => void, command: (root: string) => string }} Example
 */

/** @type {Readonly<Record<string, Example>>} */
export const EXAMPLES = {
  JavaScript: {
    prepare: () => undefined,
    command: (root) => `exec ${process.execPath} ${root}/examples/device/device.mjs`,
  },
  // Debian's Python: another one on the PATH may lack the package.
  Python: {
    prepare: () => undefined,
    command: (root) => `exec /usr/bin/python3 ${root}/examples/device-python/device.py`,
  },
};
