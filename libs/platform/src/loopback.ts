const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/** Whether a host, with or without a port, is a loopback address or `localhost`. */
export function isLoopback(host: string): boolean {
  return host === '::1' || LOOPBACK.test(host);
}
