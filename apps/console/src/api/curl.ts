import type { Act } from './acts.js';

/** The request as a command for a POSIX shell. The key stays out of it: the shell puts it in from its environment. */
export function curlOf(act: Act, base: string, needsKey: boolean): string {
  const parts = ['curl'];
  if (act.method !== 'GET') parts.push('-X', act.method);
  parts.push(quoted(base.replace(/\/+$/, '') + pathOf(act)));
  if (needsKey) parts.push('-H', '"Authorization: Bearer $CLOUD_CONNECTOR_TOKEN"');
  for (const [name, value] of Object.entries(act.headers ?? {})) {
    if (value !== undefined) parts.push('-H', quoted(`${name}: ${value}`));
  }
  if (act.body !== undefined) {
    parts.push('-H', quoted('Content-Type: application/json'), '--data-binary', quoted(JSON.stringify(act.body)));
  }
  return parts.join(' ');
}

/** In single quotes a shell reads nothing but the end of the quote. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function pathOf({ url, path = {}, query = {} }: Act): string {
  const filled = url.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ''));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, `${value}`);
  return search.size === 0 ? filled : `${filled}?${search.toString()}`;
}
