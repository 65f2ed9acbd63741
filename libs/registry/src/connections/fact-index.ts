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
 * Limit for the index members of one connection in one scope. It suffices for 64 addresses of each kind if the client id
 * has at most 117 bytes; a host with a longer id is found by fewer addresses.
 */
const INDEX_BYTES = 16_384;

/**
 * Sorted sets that share the terms of a shard. Redis keeps a set of at most 128 short members in one block, at a third of
 * the memory: up to 26,000 connections with five facts each, a shard has no larger one.
 */
export const FACT_BUCKETS = 1024;

/** `factTerm` takes these bytes of the digest one by one. */
const TERM_BYTES = 4;
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Length of a term in characters: the base64url of its bytes. */
const TERM_LENGTH = Math.ceil((TERM_BYTES * 8) / 6);

/** The place of a fact in the index: a bucket, and in it the range of members that begin with `term`. */
export interface FactTerm {
  bucket: number;
  term: string;
}

/**
 * Values may have any length, since only a short digest is stored. Terms of different values may be equal: whoever reads the
 * index checks the facts of the connection, too. Each account has its own terms; undefined stands for all connections.
 */
export function factTerm(fact: SearchableFact, value: string, account?: string): FactTerm {
  // A character for each byte: a buffer, and the base64url of a part of it, take twice as long.
  const digest = hash('sha1', `${fact}\0${account ?? ''}\0${value}`, 'binary');
  const byte = (i: number): number => digest.charCodeAt(i);
  const [first, last] = [(byte(2) << 16) | (byte(3) << 8) | byte(4), byte(5) << 4];
  const indices = [first >> 18, first >> 12, first >> 6, first, last >> 6, last];
  let term = '';
  for (const index of indices) term += BASE64URL.charAt(index & 63);
  return { bucket: ((byte(0) << 8) | byte(1)) % FACT_BUCKETS, term };
}

/** The client id in a member of the index. */
export function clientIdIn(member: string): string {
  return member.slice(TERM_LENGTH);
}

/** A text between the members that begin with the term and those that follow them. Terms are ASCII. */
export function endOf(term: string): string {
  return term.slice(0, -1) + String.fromCharCode(term.charCodeAt(term.length - 1) + 1);
}

export function factValues(facts: Connection['facts'], fact: SearchableFact): string[] {
  const value: unknown = facts[SEARCHABLE_FACTS[fact]];
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string').slice(0, MAX_VALUES_PER_FACT) : [];
}

/** A member of the index. */
export interface FactMember {
  bucket: number;
  member: string;
}

/**
 * The members that a change of a connection removes from the index and adds to it, for one account or for all connections.
 * Computes digests of changed values only, since most handshakes repeat the facts of the previous one.
 */
export function factChanges(
  before: Connection | undefined,
  after: Connection | undefined,
  account: string | undefined,
): { removed: FactMember[]; added: FactMember[] } {
  const [old, now] = [indexed(before), indexed(after)];
  return { removed: members(before, old, now, account), added: members(after, now, old, account) };
}

/** All members of a connection: those of all connections, and those of its account. */
export function connectionMembers(connection: Connection): FactMember[] {
  return accountsOf(connection).flatMap((account) => factChanges(undefined, connection, account).added);
}

/** The accounts under which a connection is found; undefined stands for all connections. */
export function accountsOf({ account }: Connection): (string | undefined)[] {
  return account == null ? [undefined] : [undefined, account];
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
function indexed(connection: Connection | undefined): Facts {
  const memberBytes = TERM_LENGTH + Buffer.byteLength(connection?.client_id ?? '');
  const facts = factsOf(connection);
  const most = Math.floor(INDEX_BYTES / memberBytes);
  return facts.size <= most ? facts : new Map(Array.from(facts).slice(0, most));
}

/** The members of the facts that `others` lacks. */
function members(
  connection: Connection | undefined,
  facts: Facts,
  others: Facts,
  account: string | undefined,
): FactMember[] {
  return Array.from(facts).flatMap(([text, [fact, value]]) => {
    if (others.has(text)) return [];
    const { bucket, term } = factTerm(fact, value, account);
    return [{ bucket, member: term + (connection?.client_id ?? '') }];
  });
}
