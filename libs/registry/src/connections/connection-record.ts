/**
 * The text of a connection in Redis. There is one for each client, so it is short: members have short names, one that has
 * its usual value is left out, times are differences, and the client's id is the field of the hash.
 */
import { DEFAULT_IN_TOPIC } from '@app/protocol';
import type { Connection } from './connection.js';

/** Stored names. Once released, a name keeps its meaning: a change needs a new format of the key space. */
const NAMES = {
  facts: 'f',
  handshake_message_id: 'h',
  connected_at: 'c',
  last_message_at: 'm',
  last_live_handshake_at: 'l',
  last_event_at: 'e',
  lane: 'n',
  type: 't',
  state: 's',
  status_topic: 'p',
  disconnected_at: 'd',
  offline_reason: 'o',
  account: 'a',
  refused_until: 'ru',
  refused_handshake: 'rh',
  unconfirmed_handshake: 'uh',
  superseded_handshakes: 'sh',
  dead_letter_digest: 'dl',
  coalesced: 'co',
  applied_messages: 'am',
  force_disconnect: 'fd',
  account_asked: 'aa',
} as const satisfies Record<Exclude<keyof Connection, 'client_id'>, string>;

/** What a member is that is not stored. Those which are not named here are always stored, or absent. */
export const DEFAULTS = {
  type: 'host',
  state: 'online',
  status_topic: DEFAULT_IN_TOPIC,
  disconnected_at: null,
  offline_reason: null,
  refused_until: null,
  refused_handshake: null,
  unconfirmed_handshake: null,
  superseded_handshakes: [],
  dead_letter_digest: null,
  last_live_handshake_at: 0,
  lane: null,
  last_event_at: null,
  coalesced: null,
  account: null,
} as const satisfies Partial<Connection>;

/** Stored as the time that has passed since `connected_at`. */
const TIMES = ['last_message_at', 'last_live_handshake_at', 'last_event_at', 'disconnected_at'] as const;

/** Stored as they are, unless they have their usual value. */
const OTHERS = [
  'lane',
  'type',
  'state',
  'status_topic',
  'offline_reason',
  'account',
  'refused_until',
  'refused_handshake',
  'unconfirmed_handshake',
  'dead_letter_digest',
  'coalesced',
  'applied_messages',
  'force_disconnect',
  'account_asked',
] as const;

// Facts are the largest part of a record and seldom change, so each facts object is encoded once.
const factsTexts = new WeakMap<Connection['facts'], string>();

export function encodeConnection(connection: Connection): string {
  const { facts, connected_at: since } = connection;
  let text = factsTexts.get(facts);
  if (text === undefined) factsTexts.set(facts, (text = JSON.stringify(facts)));
  text = `{"${NAMES.facts}":${text},"${NAMES.handshake_message_id}":${JSON.stringify(connection.handshake_message_id)}`;
  text += `,"${NAMES.connected_at}":${since}`;
  const defaults: Partial<Connection> = DEFAULTS;
  for (const member of TIMES) {
    const time = connection[member];
    if (time !== null && time !== defaults[member]) text += `,"${NAMES[member]}":${time - since}`;
  }
  for (const member of OTHERS) {
    const value = connection[member];
    if (value === undefined || value === defaults[member]) continue;
    text += `,"${NAMES[member]}":${JSON.stringify(value)}`;
  }
  const { superseded_handshakes: superseded } = connection;
  if (superseded.length > 0) text += `,"${NAMES.superseded_handshakes}":${JSON.stringify(superseded)}`;
  return `${text}}`;
}

const MEMBERS: ReadonlyMap<string, string> = new Map(Object.entries(NAMES).map(([member, name]) => [name, member]));

/** @returns undefined if the text is not a connection */
export function decodeConnection(clientId: string, text: string): Connection | undefined {
  try {
    const stored: unknown = JSON.parse(text);
    if (typeof stored !== 'object' || stored === null) return undefined;
    const connection: Record<string, unknown> = { client_id: clientId, ...DEFAULTS, superseded_handshakes: [] };
    for (const [name, value] of Object.entries(stored)) {
      const member = MEMBERS.get(name);
      if (member !== undefined) connection[member] = value;
    }
    const { connected_at: since, facts } = connection;
    if (typeof since !== 'number' || typeof facts !== 'object' || facts === null) return undefined;
    for (const member of TIMES) {
      const passed = (stored as Record<string, unknown>)[NAMES[member]];
      if (typeof passed === 'number') connection[member] = since + passed;
    }
    return connection as unknown as Connection;
  } catch {
    return undefined;
  }
}
