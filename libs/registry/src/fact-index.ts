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

/** All index members of a connection. */
export function factMembers(connection: Connection): Set<string> {
  const members = new Set<string>();
  if (connection.type !== 'host') return members;
  for (const fact of Object.keys(SEARCHABLE_FACTS) as SearchableFact[]) {
    for (const value of factValues(connection.facts, fact)) members.add(factTerm(fact, value) + connection.client_id);
  }
  return members;
}
