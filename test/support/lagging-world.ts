/**
 * One shard with its verifier, one client, and a broker that delivers messages before it retains them: in simulated time, so that
 * fake timers have to be installed.
 */
import { decodeMailboxEntry, type Connection, type MailboxMessage, type Retained } from '@app/registry';
import { isAfter, type Grant } from '@app/sharding';
import { TopicTemplate } from '@app/protocol';
import { Verifier } from '../../apps/status-ingester/src/reconciliation/verifier.js';
import type { Rules } from '../../apps/status-ingester/src/rules/effect.js';
import { truth } from '../../apps/status-ingester/src/rules/truth.js';
import { fold } from '../../apps/status-ingester/src/shard/fold.js';
import { LastLiveEntries } from '../../apps/status-ingester/src/shard/shard-memory.js';
import type { Random } from './random.js';
import { quiet } from './servers.js';
import { CLIENT, RULES } from './shard-world.js';

const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1' };
const [TOPIC = ''] = RULES.statusTopics;
/** Longest times, in milliseconds. */
const MOST = { lag: 499, delivery: 400, reading: 100 } as const;

interface Text {
  readonly since: number;
  readonly body: string;
}

interface Published {
  readonly body: string;
  readonly retain: boolean;
}

export class LaggingWorld {
  connection: Connection | undefined;
  /** Readings that took the client offline although what they brought had been replaced before they began. */
  readonly wrong: string[] = [];
  private readonly rules: Rules;
  /** What was retained at any time. */
  private readonly history: Text[] = [{ since: -1, body: '' }];
  private readonly arrivals: number[];
  /** By lane. */
  private readonly delivered: Published[][];
  private readonly marks = new LastLiveEntries('0-0');
  private readonly verifier: Verifier;
  private lastId = '0-0';
  private count = 0;
  /** When the read began whose reading comes next. */
  private readAt = 0;

  constructor(
    private readonly lanes: number,
    private readonly random: Random,
  ) {
    this.rules = { ...RULES, lanes };
    this.arrivals = Array.from({ length: lanes }, () => 0);
    this.delivered = Array.from({ length: lanes }, () => []);
    this.verifier = new Verifier({
      reader: { read: () => this.read() },
      barrier: { pass: () => this.barrier() },
      facts: { absenceProvable: true },
      mailboxes: {
        idBefore: (_shard, ageMs) => Promise.resolve(this.idBefore(ageMs)),
        sendAll: (_shard, texts) => this.send(texts),
      },
      redis: undefined as never,
      statusTopics: [new TopicTemplate(TOPIC)],
      maxInboundBytes: RULES.maxInboundBytes,
      rate: 100_000,
      logger: quiet,
    });
  }

  get isPending(): boolean {
    return this.verifier.pendingOf(GRANT).size > 0;
  }

  /** The client publishes a text, which comes through a lane later. */
  publish(body: string, retain: boolean, lane: number): void {
    if (retain) this.history.push({ since: Date.now(), body });
    this.later(lane, () => {
      this.delivered[lane]?.push({ body, retain });
      this.arrive({ body, retain }, lane);
    });
  }

  /** The lane loses its connection, and the broker delivers its last messages again, in order and without DUP. */
  redeliver(most: number, lane: number): void {
    this.later(lane, () => {
      for (const message of this.delivered[lane]?.slice(-most) ?? []) this.arrive(message, lane);
    });
  }

  /** A message that no lane has delivered. */
  retainUnheard(body: string): void {
    this.history.push({ since: Date.now(), body });
  }

  requestVerification(reason: 'request' | 'goodbye' = 'request'): void {
    const command = { do: 'verify', reason } as const;
    void this.apply({ kind: 'command', clientId: CLIENT, command, ...this.stored() });
  }

  /** Whether the registry has what the broker retains. */
  agrees(): boolean {
    const found = truth(this.history.at(-1)?.body, undefined, 0);
    if (found.state === 'offline') return this.connection?.state !== 'online';
    const { state, handshake_message_id } = this.connection ?? {};
    return state === 'online' && handshake_message_id === found.handshake.message_id;
  }

  stop(): Promise<void> {
    return this.verifier.stop();
  }

  /** Behind what is under way in the lane. */
  private later(lane: number, act: () => void): void {
    const now = Date.now();
    const at = Math.max(this.arrivals[lane] ?? 0, now + this.random.below(MOST.delivery));
    this.arrivals[lane] = at;
    setTimeout(act, at - now);
  }

  private arrive(message: Published, lane: number): void {
    void this.apply({ kind: 'packet', clientId: CLIENT, lane, topic: TOPIC, dup: false, ...message, ...this.stored() });
  }

  private stored(): { at: number; id: string } {
    const at = Date.now();
    this.lastId = `${at}-${++this.count}`;
    return { at, id: this.lastId };
  }

  private idBefore(ageMs: number): string {
    const since = `${Date.now() - ageMs}-0`;
    return isAfter(this.lastId, since) ? since : this.lastId;
  }

  /** What was retained at some time within the lag. */
  private async read(): Promise<Map<string, Buffer>> {
    this.readAt = Date.now();
    const since = this.readAt - this.random.below(MOST.lag);
    const first = this.history.findLastIndex((text) => text.since <= since);
    const possible = this.history.slice(Math.max(0, first));
    const { body } = this.random.pick(possible);
    await this.wait(this.random.below(MOST.reading));
    return new Map(body === '' ? [] : [[new TopicTemplate(TOPIC).topicOf(CLIENT), Buffer.from(body)]]);
  }

  /** With one lane, everything that was published before has arrived. */
  private barrier(): Promise<void> {
    const [arrival = 0] = this.arrivals;
    return this.lanes > 1 ? Promise.resolve() : this.wait(Math.max(0, arrival - Date.now()) + 1);
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  private async send(texts: readonly string[]): Promise<number> {
    const { readAt } = this;
    for (const text of texts) {
      const message = decodeMailboxEntry({ id: this.stored().id, text });
      const before = this.connection?.state;
      const applied = this.apply(message);
      if (message.kind === 'verified' && before === 'online' && this.connection?.state !== 'online') {
        this.expectCurrent(message.retained, readAt);
      }
      await applied;
    }
    return texts.length;
  }

  /** Notes the reading if its text had been replaced before the read began. */
  private expectCurrent([retained]: readonly Retained[], readAt: number): void {
    const current = this.history.slice(this.history.findLastIndex(({ since }) => since <= readAt));
    const body = retained?.body ?? '';
    if (!current.some((text) => text.body === body)) this.wrong.push(`${readAt}: ${body}`);
  }

  /** As the shard's actor does. */
  private async apply(message: MailboxMessage): Promise<void> {
    const stored = new Map([[CLIENT, this.connection]]);
    const verifying = this.verifier.pendingOf(GRANT);
    const folded = fold([message], stored, this.rules, () => 'minted', verifying, this.marks);
    const change = folded.connections.get(CLIENT);
    if (change !== undefined) this.connection = change.after;
    for (const [id, entry] of folded.lastLive) this.marks.note(id, entry);
    for (const { todo, due } of folded.todos) {
      if (todo.do === 'confirm') setTimeout(() => this.requestVerification('goodbye'), due - Date.now());
    }
    await this.verifier.complete(GRANT, folded.verificationResults);
    this.verifier.request(GRANT, folded.verificationRequests);
  }
}
