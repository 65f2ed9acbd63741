/** Longest client id in UTF-8 bytes (protocol, *Topics*). */
export const CLIENT_ID_MAX_BYTES = 256;

// The level separator, wildcards, control characters, and noncharacters of Unicode: a broker may close a connection that
// subscribes to a topic with a noncharacter, and Mosquitto does.
const FORBIDDEN = /[/+#\p{Cc}\p{Noncharacter_Code_Point}]/u;

// Matches nearly all ids with one test instead of four; it runs for every message.
const PLAIN = new RegExp(`^[A-Za-z0-9._:@-]{1,${CLIENT_ID_MAX_BYTES}}$`);

/** Topic levels that no HTTP client can use as a client id, because the URL would mean another path. */
export const RESERVED_CLIENT_IDS: readonly string[] = ['.', '..', 'summary'];

export function isReservedClientId(id: string): boolean {
  return RESERVED_CLIENT_IDS.includes(id);
}

/**
 * Says what is wrong with a client id; `undefined` if it is valid: one topic level of 1 to 256 UTF-8 bytes without `/`, `+`,
 * `#`, control characters or noncharacters, and not reserved.
 */
export function clientIdProblem(id: string): string | undefined {
  return isReservedClientId(id) ? 'must not be ".", ".." or "summary"' : topicLevelProblem(id);
}

/** Like `clientIdProblem`, but accepts reserved ids: a client that uses one still has a topic for the error reply. */
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
