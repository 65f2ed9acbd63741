/** Topic filters of MQTT. */
const SHARED = /^\$share\/[^/]+\//;

export function isShared(filter: string): boolean {
  return SHARED.test(filter);
}

/** Whether a filter matches a topic; of a shared filter, the part behind the name of its group. */
export function matches(filter: string, topic: string): boolean {
  const levels = filter.replace(SHARED, '').split('/');
  const names = topic.split('/');
  if (levels.at(-1) === '#') return levels.slice(0, -1).every((level, i) => level === '+' || level === names[i]);
  return levels.length === names.length && levels.every((level, i) => level === '+' || level === names[i]);
}

export function hasWildcard(filter: string): boolean {
  return /[+#]/.test(filter);
}
