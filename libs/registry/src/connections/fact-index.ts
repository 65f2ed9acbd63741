/** The index of connections by fact: the terms under which a connection is found. Exact match only. */
import { hash } from 'node:crypto';
import type { Connection } from './connection.js';

/** Searchable facts, each with the member of a handshake's facts that holds it. */
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

/** A host with more addresses is found by the first ones only. */
const MAX_VALUES_PER_FACT = 64;

/**
 * Limit for the index members of one connection in one set. It suffices for 64 addresses of each kind if the client id
 * has at most 80 bytes; a host with a longer id is found by fewer addresses.
 */
const INDEX_BYTES = 16_384;

/** Length of a digest and the two colons around it. */
const DIGEST_BYTES = 29;
const LONGEST_NAME = Math.max(...Object.keys(SEARCHABLE_FACTS).map(({ length }) => length));

/** The part of an index member before the client id. Values may have any length, since only their digest is stored. */
export function factTerm(fact: SearchableFact, value: string): string {
  return `${fact}:${hash('sha1', value, 'base64url')}:`;
}

export function factValues(facts: Connection['facts'], fact: SearchableFact): string[] {
  const value: unknown = facts[SEARCHABLE_FACTS[fact]];
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string').slice(0, MAX_VALUES_PER_FACT) : [];
}

/**
 * The members that a change of a connection removes from an index and adds to it. Computes digests of changed values only,
 * since most handshakes repeat the facts of the previous one.
 */
export function factChanges(
  before: Connection | undefined,
  after: Connection | undefined,
): { removed: string[]; added: string[] } {
  const [old, now] = [factsOf(before), factsOf(after)];
  const [oldIndexed, nowIndexed] = [indexed(old, before), indexed(now, after)];
  return {
    // Include members that exceed the limit: an earlier release had no limit and indexed them.
    removed: members(before, old, (fact) => !nowIndexed.has(fact) && (oldIndexed.has(fact) || !now.has(fact))),
    added: members(after, nowIndexed, (fact) => !oldIndexed.has(fact)),
  };
}

/** Facts by `<fact>:<value>`, so that two sets can be compared. */
type Facts = Map<string, readonly [SearchableFact, string]>;

/** The searchable facts of a host: ids and name first, then IP and MAC addresses in turn. */
function factsOf(connection: Connection | undefined): Facts {
  const facts: Facts = new Map();
  if (connection?.type !== 'host') return facts;
  const values = (Object.keys(SEARCHABLE_FACTS) as SearchableFact[]).map(
    (fact) => [fact, factValues(connection.facts, fact)] as const,
  );
  const most = Math.max(...values.map(([, { length }]) => length));
  for (let i = 0; i < most; i++) {
    for (const [fact, { [i]: value }] of values) {
      if (value !== undefined) facts.set(`${fact}:${value}`, [fact, value]);
    }
  }
  return facts;
}

/** The facts that fit into `INDEX_BYTES`; later ones are not indexed. */
function indexed(facts: Facts, connection: Connection | undefined): Facts {
  const idBytes = Buffer.byteLength(connection?.client_id ?? '');
  if (facts.size * (LONGEST_NAME + DIGEST_BYTES + idBytes) <= INDEX_BYTES) return facts;
  const kept: Facts = new Map();
  let bytes = 0;
  for (const [text, entry] of facts) {
    bytes += entry[0].length + DIGEST_BYTES + idBytes;
    if (bytes > INDEX_BYTES) break;
    kept.set(text, entry);
  }
  return kept;
}

function members(connection: Connection | undefined, facts: Facts, isWanted: (fact: string) => boolean): string[] {
  return Array.from(facts).flatMap(([text, [fact, value]]) =>
    isWanted(text) ? factTerm(fact, value) + (connection?.client_id ?? '') : [],
  );
}
