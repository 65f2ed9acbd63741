/** Longest client id in UTF-8 bytes (protocol, *Topics*). */
export const CLIENT_ID_MAX_BYTES = 256;

// One MQTT topic level that can be stored and logged as it is: no level separator, no wildcard, no control character. Nor
// one of Unicode's noncharacters: brokers may end a connection that subscribes to such a topic, and Mosquitto does.
const FORBIDDEN = /[/+#\p{Cc}\p{Noncharacter_Code_Point}]/u;

// What nearly all ids look like: one test instead of four, on the path of every message.
const PLAIN = new RegExp(`^[A-Za-z0-9._:@-]{1,${CLIENT_ID_MAX_BYTES}}$`);

/** Topic levels that no HTTP client can address as a client: they mean another path. */
export const RESERVED_CLIENT_IDS: readonly string[] = ['.', '..', 'summary'];

export function isReservedClientId(id: string): boolean {
  return RESERVED_CLIENT_IDS.includes(id);
}

/**
 * Says what is wrong with a client id, or `undefined` if it is a valid one: one topic level of 1 to 256 UTF-8 bytes without
 * `/`, `+`, `#`, NUL, control characters or noncharacters, and none of those that are reserved.
 */
export function clientIdProblem(id: string): string | undefined {
  return isReservedClientId(id) ? 'must not be ".", ".." or "summary"' : topicLevelProblem(id);
}

/** The same, but including the reserved ids: a client that uses one has a topic for the error reply. */
export function topicLevelProblem(id: string): string | undefined {
  if (PLAIN.test(id)) return undefined;
  if (id.length === 0) return 'must not be empty';
  if (!id.isWellFormed()) return 'must be well-formed Unicode';
  if (Buffer.byteLength(id) > CLIENT_ID_MAX_BYTES) return `must be at most ${CLIENT_ID_MAX_BYTES} UTF-8 bytes`;
  if (FORBIDDEN.test(id)) {
    return 'must not contain "/", "+", "#", control characters or noncharacters of Unicode';
  }
  return undefined;
}
