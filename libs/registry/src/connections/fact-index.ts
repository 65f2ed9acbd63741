/** Connections by fact: which terms a connection is indexed under. Exact match only. */
import { hash } from 'node:crypto';
import type { Connection } from './connection.js';

/** Facts one can search by, and the member of the facts each is found in. */
export const SEARCHABLE_FACTS = {
  insights_id: 'insights_id',
  machine_id: 'machine_id',
  bios_uuid: 'bios_uuid',
  subscription_manager_id: 'subscription_manager_id',
  fqdn: 'fqdn',
  ip_address: 'ip_addresses',
  mac_address: 'mac_addresses',
} as const;
export type SearchableFact = keyof typeof SEARCHABLE_FACTS;

/** A host with more addresses than this is found by the first ones only. */
const MAX_VALUES_PER_FACT = 64;

/**
 * Bytes of all index members of one connection in one set: enough for 64 addresses of each kind unless its id is longer than
 * 80 bytes. A host with a longer id is found by fewer addresses.
 */
const INDEX_BYTES = 16_384;

/** Of a digest and the two colons around it. */
const DIGEST_BYTES = 29;

/** What stands before the client id in the index; values are digested, so they may be of any length. */
export function factTerm(fact: SearchableFact, value: string): string {
  return `${fact}:${hash('sha1', value, 'base64url')}:`;
}

/** The values of one fact of a connection. */
export function factValues(facts: Connection['facts'], fact: SearchableFact): string[] {
  const value: unknown = facts[SEARCHABLE_FACTS[fact]];
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string').slice(0, MAX_VALUES_PER_FACT) : [];
}

/**
 * What a change of a connection adds to an index and removes from it. Only values that differ are digested, since most
 * handshakes repeat the facts of the one before.
 */
export function factChanges(
  before: Connection | undefined,
  after: Connection | undefined,
): { removed: string[]; added: string[] } {
  const [old, now] = [factsOf(before), factsOf(after)];
  const [oldIndexed, nowIndexed] = [indexed(old, before), indexed(now, after)];
  return {
    // Also those that had no room: an earlier release indexed them all.
    removed: members(before, old, (fact) => !nowIndexed.has(fact) && (oldIndexed.has(fact) || !now.has(fact))),
    added: members(after, nowIndexed, (fact) => !oldIndexed.has(fact)),
  };
}

/** Facts as text and by that text, so that two sets can be compared. */
type Facts = Map<string, readonly [SearchableFact, string]>;

/** The facts one can search by, ids and the name first and then the addresses of both kinds in turn. */
function factsOf(connection: Connection | undefined): Facts {
  const facts: Facts = new Map();
  if (connection?.type !== 'host') return facts;
  const values = (Object.keys(SEARCHABLE_FACTS) as SearchableFact[]).map(
    (fact) => [fact, factValues(connection.facts, fact)] as const,
  );
  for (let i = 0; i < MAX_VALUES_PER_FACT; i++) {
    for (const [fact, { [i]: value }] of values) {
      if (value !== undefined) facts.set(`${fact}:${value}`, [fact, value]);
    }
  }
  return facts;
}

/** The first of them, as many as there is room for. */
function indexed(facts: Facts, connection: Connection | undefined): Facts {
  const idBytes = Buffer.byteLength(connection?.client_id ?? '');
  const within: Facts = new Map();
  let bytes = 0;
  for (const [text, entry] of facts) {
    bytes += entry[0].length + DIGEST_BYTES + idBytes;
    if (bytes > INDEX_BYTES) break;
    within.set(text, entry);
  }
  return within;
}

function members(connection: Connection | undefined, facts: Facts, isWanted: (fact: string) => boolean): string[] {
  return Array.from(facts).flatMap(([text, [fact, value]]) =>
    isWanted(text) ? factTerm(fact, value) + (connection?.client_id ?? '') : [],
  );
}
