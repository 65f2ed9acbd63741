/** One shard in memory, with its broker and one client: live messages, verifications and force-disconnects in any order. */
import type { Connection, MailboxMessage, Retained } from '@app/registry';
import type { Rules } from '../../apps/status-ingester/src/rules/effect.js';
import { TwoReads } from '../../apps/status-ingester/src/reconciliation/two-reads.js';
import { truth } from '../../apps/status-ingester/src/rules/truth.js';
import { fold, type Folded } from '../../apps/status-ingester/src/shard/fold.js';
import type { Verification } from '../../apps/status-ingester/src/shard/ports.js';
import { LastLiveEntries } from '../../apps/status-ingester/src/shard/shard-memory.js';

const IN = 'redhat/insights/in/{clientId}';
export const RULES: Rules = {
  statusTopics: [IN],
  inTopic: IN,
  respond: true,
  connectionRetentionMs: 1e9,
  maxInboundBytes: 262_144,
  eventSettleMs: 0,
  lanes: 2,
};
export const CLIENT = 'host-1';

export function handshake(id: string): string {
  const payload = { canonical_facts: { fqdn: id } };
  return JSON.stringify({ type: 'host-handshake', message_id: id, version: 1, sent: '2020-12-04T17:22:24Z', payload });
}
/** The last will: the same text on every connection. */
export const WILL = JSON.stringify({ type: 'offline', message_id: 'will', version: 1, sent: '1970-01-01T00:00:00Z' });
/** A goodbye: not retained. */
export const GOODBYE = JSON.stringify({ type: 'offline', message_id: 'bye', version: 1, sent: '2020-12-04T17:22:24Z' });

/** One shard with its broker: what is retained, the mailbox, the registry, and one client that may be verified. */
export class World {
  retained = '';
  connection: Connection | undefined;
  needsVerification = false;
  /** Whether a goodbye has planned a verification. */
  unconfirmed = false;
  /** The handshake that was recorded when a force-disconnect was stored. */
  recorded: string | undefined;
  readonly folds: Folded[] = [];
  private readonly marks = new LastLiveEntries('0-0');
  private entries = 0;
  private pending: Verification | undefined;
  private answer: Retained[] = [];
  private readonly reads = new TwoReads();

  /** A message reaches the mailbox through a lane, and is applied. */
  arrive(body: string, lane: number, more: { retain?: boolean; dup?: boolean } = {}): Folded {
    return this.apply({
      kind: 'packet',
      clientId: CLIENT,
      lane,
      topic: IN,
      retain: true,
      dup: false,
      body,
      ...more,
      ...this.stored(),
    });
  }

  /** A verification notes the mailbox's last id. */
  note(): void {
    this.pending = {
      attempt: `1.${this.entries}`,
      noted: `1-${this.entries}`,
      isConfirmed: false,
      provesAbsence: true,
    };
  }

  /** The broker answers the verification. */
  read(): void {
    this.answer = this.retained === '' ? [] : [{ topic: IN, body: this.retained }];
  }

  /** The result of the verification reaches the mailbox, and is applied, or has to be confirmed by a second read. */
  finish(): Folded {
    const { attempt = '', noted = '' } = this.pending ?? {};
    this.pending = { attempt, ...this.reads.add(this.answer, noted), provesAbsence: true };
    const folded = this.apply({
      kind: 'verified',
      clientId: CLIENT,
      attempt,
      retained: this.answer,
      ...this.stored(),
    });
    if (folded.verificationResults.some(({ outcome }) => outcome === 'unconfirmed')) this.reads.awaitSecond();
    else this.reads.restart();
    return folded;
  }

  /** A force-disconnect without an end is stored. */
  forceDisconnect(): Folded {
    this.recorded ??= this.connection?.handshake_message_id;
    const command = { do: 'force-disconnect', reconnect_after: 'never' } as const;
    return this.apply({ kind: 'command', clientId: CLIENT, command, ...this.stored() });
  }

  /**
   * Verifies the client, with as many reads as it takes.
   * @returns what the first result changed that needed no confirmation
   */
  verify(): Folded {
    const results: Folded[] = [];
    do {
      this.note();
      this.read();
      results.push(this.finish());
    } while (this.needsVerification || results.at(-1)?.verificationResults[0]?.outcome === 'unconfirmed');
    const first = results.find(({ verificationResults: [result] }) => result?.outcome !== 'unconfirmed');
    if (first === undefined) throw new Error('no reading was applied');
    return first;
  }

  private stored(): { at: number; id: string } {
    this.entries++;
    return { at: this.entries, id: `1-${this.entries}` };
  }

  private apply(message: MailboxMessage): Folded {
    const verifying = new Map(this.pending === undefined ? [] : [[CLIENT, this.pending]]);
    const folded = fold([message], new Map([[CLIENT, this.connection]]), RULES, () => 'minted', verifying, this.marks);
    const change = folded.connections.get(CLIENT);
    if (change !== undefined) this.connection = change.after;
    for (const [id, entry] of folded.lastLive) this.marks.note(id, entry);
    if (folded.withdrawn.some((todo) => todo.do === 'verify')) this.needsVerification = false;
    if (folded.todos.some(({ todo }) => todo.do === 'verify')) this.needsVerification = true;
    if (folded.withdrawn.some((todo) => todo.do === 'confirm')) this.unconfirmed = false;
    if (folded.todos.some(({ todo }) => todo.do === 'confirm')) this.unconfirmed = true;
    this.folds.push(folded);
    return folded;
  }

  agrees(): boolean {
    const found = truth(this.retained, undefined, 0);
    if (found.state === 'offline') return this.connection?.state !== 'online' && this.hasReason(found.reason);
    const { message_id: id } = found.handshake;
    const is = this.connection;
    if (this.recorded !== undefined && id !== this.recorded) return is?.offline_reason === 'refused';
    if (is?.state === 'online') return is.handshake_message_id === id;
    // Within the window the client may have left, or sent the handshake again.
    return this.recorded !== undefined && (is?.offline_reason === 'goodbye' || is?.refused_handshake === id);
  }

  /** The reason `goodbye` stays if nothing is retained. */
  private hasReason(reason: string): boolean {
    const is = this.connection?.offline_reason;
    return is === undefined || is === reason || (is === 'goodbye' && this.retained === '');
  }
}
