/** Who listens on a port, by /proc of Linux: an answer on a port may be that of another process. */
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';

const LISTEN = '0A';

/**
 * @param {number} port @param {number} pid
 * @returns whether the process does not listen on the port, and another one does; false on systems where that is not known
 */
export function isListenerOfAnother(port, pid) {
  const inodes = listenersOn(port);
  if (inodes.length === 0) return false;
  const own = socketsOf(pid);
  return own !== undefined && !inodes.some((inode) => own.has(`socket:[${inode}]`));
}

/** @param {number} port @returns the inodes of the sockets */
function listenersOn(port) {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(end) && state === LISTEN)
    .map((columns) => columns[9]);
}

/** @param {number} pid @returns undefined if this process may not see them; none if the process has ended */
function socketsOf(pid) {
  const folder = `/proc/${pid}/fd`;
  /** @type {Set<string>} */
  const links = new Set();
  try {
    for (const name of readdirSync(folder)) links.add(linkOf(`${folder}/${name}`));
  } catch (error) {
    if (codeOf(error) === 'EACCES') return undefined;
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  return links;
}

/** @param {string} path @returns an empty text if the file was closed in between */
function linkOf(path) {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return '';
  }
}

/** Does not use `instanceof Error`: in a Jest test, errors of Node are not instances of the test's `Error`. @param {unknown} error */
export function codeOf(error) {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
