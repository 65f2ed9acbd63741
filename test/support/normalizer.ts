/**
 * Makes what callers and clients see comparable between two runs. What varies is replaced or left out by these rules alone:
 *
 * - An id that the run has named is `<its name>`, any other UUID `<uuid>`, and a time `<time>`.
 * - The value of a member in `VARYING` is `<the member's name>`: cursors, and what a process is called.
 * - A claim that was given up, `in_flight` and back to `queued`, is left out of a history: it depends on the speed of the machine.
 * - `answer`, `progress` and `response_deadline` came later: a caller who asks for no answer may find them, but only as null.
 * - What problems say for people, `detail`, is not compared, on either side: these texts have changed.
 * - `expires` of a message to a client came later too, and may be there; so did `reason` and `retry_after` of a `handshake-error`.
 */
import { withoutGivenUpClaims } from './claims.js';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;
const VARYING = new Set(['event_id', 'next_cursor', 'member', 'epoch']);
const ADDED_AS_NULL = new Set(['answer', 'progress', 'response_deadline']);
/** They depend on the connection, on the clock, or on the length of the body, which is compared itself. */
const NOT_COMPARED = new Set(['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding']);

/** A response without the texts for people of problems: `type`, `title` and `status` are for programs; each error still names its member. */
export function withoutTexts(response: unknown): unknown {
  let inProblem = false;
  const text = JSON.stringify(response, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    if ('type' in value) inProblem = String(value.type).startsWith('urn:cloud-connector:problem:');
    return inProblem && 'detail' in value ? { ...value, detail: '<detail>' } : value;
  });
  return JSON.parse(text);
}

export class Normalizer {
  private readonly names = new Map<string, string>();

  /** From now on the id is shown by this name. */
  name(id: string, name: string): void {
    this.names.set(id, name);
  }

  text(text: string): string {
    return text.replace(UUID, (id) => `<${this.names.get(id) ?? 'uuid'}>`).replace(TIME, '<time>');
  }

  /** The text of a message to a client. */
  message(text: string): string {
    const compared = this.text(text).replace('"expires":"<time>",', '');
    if (!compared.startsWith('{"type":"handshake-error"')) return compared;
    return compared.replace(/,"(?:reason|retry_after)":"[^"]*"/g, '');
  }

  json(value: unknown, member = ''): unknown {
    if (VARYING.has(member) && value !== null) return `<${member}>`;
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return this.items(value, member);
    if (typeof value !== 'object' || value === null) return value;
    const members = Object.entries(value).filter(([name, held]) => !(ADDED_AS_NULL.has(name) && held === null));
    return Object.fromEntries(members.map(([name, held]) => [name, this.json(held, name)]));
  }

  headers(headers: Headers): Record<string, string> {
    const compared = [...headers].filter(([name]) => !NOT_COMPARED.has(name));
    return Object.fromEntries(compared.map(([name, value]) => [name, this.text(value)]));
  }

  private items(items: readonly unknown[], member: string): unknown[] {
    if (member !== 'status_history') return items.map((item) => this.json(item));
    const changes = items as { status: string }[];
    return withoutGivenUpClaims(changes, (change) => change?.status).map((change) => this.json(change));
  }
}
