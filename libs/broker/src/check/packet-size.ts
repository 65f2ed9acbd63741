/** What fits into a packet of the size that a broker allows. A packet that does not fit ends the connection. */

/** Bytes of a packet besides its topics and its payload, at most: header, length, packet id, properties. */
const OVERHEAD = 32;
/** The length and the options of a filter in a SUBSCRIBE. */
const FILTER_OVERHEAD = 3;

/** @returns the filters, from the first on, that fit together into one SUBSCRIBE; `maximum` null: no limit */
export function filtersWithin(filters: readonly string[], maximum: number | null): string[] {
  if (maximum === null) return [...filters];
  let left = maximum - OVERHEAD;
  const end = filters.findIndex((filter) => (left -= Buffer.byteLength(filter) + FILTER_OVERHEAD) < 0);
  return end === -1 ? [...filters] : filters.slice(0, end);
}

/** Whether a PUBLISH fits. */
export function isWithin({ topic, payload }: { topic: string; payload: string }, maximum: number | null): boolean {
  return maximum === null || Buffer.byteLength(topic) + Buffer.byteLength(payload) + OVERHEAD <= maximum;
}
