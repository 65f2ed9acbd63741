/** What a scenario works with: a broker, the program under test, waits that end, and a verdict for each rule. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { Broker } from './broker.mjs';
import { Program } from './program.mjs';
import { isAnswer, isGoodbye, isHandshake, nameOf, publishFault, refusalOf, textOf } from './published.mjs';

/** The start of a program may take longer than what it does later. */
const SHORTEST_START_MS = 30_000;
/** Turns of the event loop in which a socket is read to its end. */
const READ_TURNS = 3;
/** Of what came on a connection, so much is reported. */
const SHOWN_PACKETS = 5;
/** How long things take, in milliseconds. A spec changes that for a device of which it knows what it does. */
export const TIMES = {
  /** So long the harness looks for what must not come. */
  quiet: 1000,
  /** How long the service sends a device away. Longer than the pause of one that does not wait: 4 seconds at most. */
  wait: 5000,
  /** So long a device is watched that must stay away; one that does not wait comes back in 4 seconds at most. */
  away: 6000,
  /** The shortest pause after a refused handshake. */
  shortestPause: 1000,
};

/**
 * `broken`: `seen` says what was seen. `not-reached`: the scenario ended before the rule was checked, and `seen` says why.
 * `printed`: the last line of the program, if something did not come. `cause`: what was seen is a fault in another rule.
 * @typedef {{ rule: string, outcome: 'ok' | 'broken' | 'not-reached', seen?: string, printed?: string, cause?: string }} Verdict
 * `payload`: what a request carries. `host`: the address that the brokers listen on. `atOnce`: how many scenarios are played at the same time.
 * `timeoutMs`: the limit of each thing that must come, and `limits` those of single ones, by the words of the report.
 * @typedef {{
 *   command: string, directive: string, timeoutMs: number, protocol: typeof import('../../libs/protocol/src/index.js'),
 *   payload?: unknown, host?: string, atOnce?: number,
 *   limits?: Readonly<Record<string, number>>, times?: Partial<typeof TIMES>,
 * }} Settings
 * @typedef {import('mqtt-packet').IPublishPacket} Publish
 */

/** Ends a scenario: what comes after it cannot be checked. */
export class Unreachable extends Error {
  /** @param {string} seen @param {string} [rule] the one whose fault it is @param {string} [printed] */
  constructor(seen, rule, printed) {
    super(seen);
    this.rule = rule;
    this.printed = printed;
  }
}

export class Trial {
  /** @type {Verdict[]} */
  verdicts = [];
  id = `conformance-${randomUUID()}`;
  inTopic = `redhat/insights/in/${this.id}`;
  outTopic = `redhat/insights/out/${this.id}`;
  stateDir = mkdtempSync(join(tmpdir(), 'conformance-'));
  /** @type {Program | undefined} */
  program;
  /** @type {import('./broker.mjs').Session[]} */
  sessions = [];

  /** @param {Settings} settings @param {Broker} broker */
  constructor(settings, broker) {
    this.settings = settings;
    this.broker = broker;
    this.times = { ...TIMES, ...settings.times };
  }

  /** @param {Settings} settings */
  static async create(settings) {
    return new Trial(settings, await Broker.create(settings.host));
  }

  /** Starts the program; the second time it has the same id and folder. */
  start() {
    this.program = new Program(this.settings.command, {
      MQTT_URL: this.broker.url,
      CLIENT_ID: this.id,
      STATE_DIR: this.stateDir,
    });
    return this.program;
  }

  async close() {
    await this.program?.kill();
    this.broker.close();
    rmSync(this.stateDir, { recursive: true });
  }

  /** @param {string} rule @param {boolean} holds @param {() => string} seen what was seen instead */
  judge(rule, holds, seen) {
    this.verdicts.push(holds ? { rule, outcome: 'ok' } : { rule, outcome: 'broken', seen: seen() });
    return holds;
  }

  /**
   * Ends the scenario with a broken rule.
   * @param {string} rule @param {string} seen @param {string} [cause] @param {string} [printed] @returns {never}
   */
  break(rule, seen, cause = rule, printed) {
    this.verdicts.push(withMore({ rule, outcome: 'broken', seen }, cause, printed));
    throw new Unreachable(seen, cause, printed);
  }

  /** Something did not come. @param {string | undefined} rule @param {string} seen @param {string} [cause] @returns {never} */
  #end(rule, seen, cause) {
    const printed = this.program?.printed.trim().split('\n').at(-1) || undefined;
    if (rule !== undefined) this.break(rule, seen, cause, printed);
    throw new Unreachable(seen, cause, printed);
  }

  /**
   * Waits for what the program must do. If it does not come, `rule` is broken; without a rule nothing that follows is reached.
   * `whileRunning`: the wait ends with the program. Not for what it may have sent before its end.
   * @template T
   * @param {string | undefined} rule @param {string} what @param {(signal: AbortSignal) => Promise<T>} wait
   * @param {{ whileRunning?: boolean, session?: import('./broker.mjs').Session, cause?: string }} [options] of `session` it says what came;
   *   `cause` is the rule that is broken if it is another one
   */
  async expect(rule, what, wait, { whileRunning = false, session, cause } = {}) {
    const { timeoutMs, limits } = this.settings;
    const limitMs = limits?.[what] ?? (rule === undefined ? Math.max(timeoutMs, SHORTEST_START_MS) : timeoutMs);
    const timeout = AbortSignal.timeout(limitMs);
    const signal = AbortSignal.any([timeout, ...(whileRunning && this.program ? [this.program.endSignal] : [])]);
    const from = session?.read ?? 0;
    try {
      return await wait(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    if (!timeout.aborted) return this.#end(rule, `the program ended before ${what} came`, cause);
    const refusal = this.#refusal(session, from);
    const seen = `${what} did not come in ${limitMs / 1000} s${refusal}${cameOn(session)}`;
    return this.#end(rule, seen, refusal === '' ? cause : 'envelope');
  }

  /** What the service refuses of what came in a wait: it may be what was waited for. @param {import('./broker.mjs').Session | undefined} session @param {number} from */
  #refusal(session, from) {
    const refusals = session?.packets.slice(from).map((packet) => refusalOf(packet, this.settings.protocol));
    const refusal = refusals?.find((one) => one !== undefined);
    return refusal === undefined ? '' : `; what came is no valid message: ${refusal}`;
  }

  /** The next accepted connection. @param {string} [rule] */
  async session(rule) {
    const session = await this.expect(rule, 'a connection', (signal) => this.broker.nextSession(signal), {
      whileRunning: true,
    });
    this.sessions.push(session);
    return session;
  }

  /**
   * The next PUBLISH with a message that fits.
   * @param {import('./broker.mjs').Session} session @param {(message: Record<string, any>) => boolean} fits
   * @param {string | undefined} rule @param {string} what @param {string} cause
   */
  async #published(session, fits, rule, what, cause) {
    const isIt = (/** @type {import('mqtt-packet').Packet} */ packet) =>
      packet.cmd === 'publish' && fits(textOf(packet));
    const packet = await this.expect(rule, what, (signal) => session.next(isIt, signal), { session, cause });
    if (packet === undefined) return this.#end(rule, `the program ended its connection before ${what} came`, cause);
    const publish = /** @type {Publish} */ (packet);
    return { publish, message: textOf(publish) };
  }

  /** The next handshake. @param {import('./broker.mjs').Session} session @param {string} [rule] */
  handshake(session, rule) {
    return this.#published(session, isHandshake, rule, 'a handshake', rule ?? 'handshake');
  }

  /** Waits for a connection with its handshake. @param {string} [rule] */
  async online(rule) {
    const session = await this.session(rule);
    const { message } = await this.handshake(session, rule);
    return { session, handshakeId: message.message_id };
  }

  /** Sends a request to the program. @param {import('./broker.mjs').Session} session @param {object} members */
  send(session, members) {
    const message = this.envelope('message', members);
    const properties = {
      messageExpiryInterval: 3600,
      responseTopic: this.inTopic,
      correlationData: Buffer.from(String(message.message_id)),
    };
    return session.publish(this.outTopic, JSON.stringify(message), properties);
  }

  /** @param {string} type @param {object} members @returns {Record<string, unknown>} */
  envelope(type, members) {
    return { type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...members };
  }

  /** A request that the program can do. @param {object} members */
  request(members = {}) {
    const expires = new Date(Date.now() + 3_600_000).toISOString();
    const { directive, payload = { job: 7 } } = this.settings;
    return { message_id: randomUUID(), expires, directive, payload, ...members };
  }

  /**
   * The answer to a message. If it is no special one, that it does not come is a fault in `answer`.
   * @param {import('./broker.mjs').Session} session @param {unknown} id @param {string} rule @param {string} [what]
   */
  answerTo(session, id, rule, what) {
    const fits = (/** @type {Record<string, any>} */ message) => isAnswer(message) && message.in_response_to === id;
    const cause = what === undefined ? 'answer' : rule;
    return this.#published(session, fits, rule, what ?? 'the answer to a message', cause);
  }

  /** Waits for a goodbye and a DISCONNECT. Then the broker has no handshake, and every publish its PUBACK. */
  async left(/** @type {import('./broker.mjs').Session} */ session, /** @type {string} */ rule) {
    const cause = 'goodbye';
    await this.expect(rule, 'the end of the connection', (signal) => session.end(signal), { session, cause });
    const fault = goodbyeFault(session);
    if (fault !== undefined) this.break(rule, fault, cause);
  }

  /**
   * Nothing must come: a wait, and what came in it is there for the next check. It ends early with `until`, what must not come.
   * @param {number} ms @param {(signal: AbortSignal) => Promise<void>} [until]
   */
  async quiet(ms, until) {
    const signal = AbortSignal.timeout(ms);
    // It keeps no process alive: the broker does.
    await (until?.(signal) ?? sleep(ms, undefined, { ref: false })).catch((error) => {
      if (!signal.aborted) throw error;
    });
    // If this process was starved of time, what came is still to be read.
    for (let turn = 0; turn < READ_TURNS; turn++) await immediate();
  }

  /** Judges what the program has published in all sessions. */
  judgePublished() {
    const packets = this.sessions.flatMap((session) => session.packets.filter((packet) => packet.cmd === 'publish'));
    if (packets.length === 0) return;
    const seen = new Map();
    for (const packet of packets) {
      const fault = publishFault(packet, this.inTopic, this.settings.protocol, seen);
      if (fault !== undefined) return void this.judge('envelope', false, () => fault);
    }
    this.judge('envelope', true, () => '');
  }
}

/** @param {Verdict} verdict @param {string | undefined} cause @param {string | undefined} printed @returns {Verdict} */
export function withMore(verdict, cause, printed) {
  const isOwn = cause === undefined || cause === verdict.rule;
  return { ...verdict, ...(printed !== undefined && { printed }), ...(!isOwn && { cause }) };
}

/** The last packets of a connection. @param {import('./broker.mjs').Session | undefined} session */
function cameOn(session) {
  if (session === undefined) return '';
  return `; the last that came on this connection: ${session.packets.slice(-SHOWN_PACKETS).map(nameOf).join(', ') || 'nothing'}`;
}

/** @param {import('./broker.mjs').Session} session @returns {string | undefined} what is wrong with how it has ended */
export function goodbyeFault(session) {
  const { packets } = session;
  const last = packets.at(-1);
  if (last?.cmd !== 'disconnect')
    return 'the connection has ended without a DISCONNECT, so that the broker publishes the last will';
  if ((last.reasonCode ?? 0) !== 0)
    return `the DISCONNECT has the reason ${last.reasonCode}, so that the broker publishes the last will`;
  if (session.heldBack > 0) return `the DISCONNECT came before the PUBACKs of ${session.heldBack} publishes`;
  const retained = packets.filter((packet) => packet.cmd === 'publish' && packet.retain).at(-1);
  if (retained === undefined || !isGoodbye(retained))
    return 'the handshake is still retained: there was no `offline` that is retained, and no empty retained message';
  const late = packets.slice(packets.indexOf(retained) + 1).some((packet) => textOf(packet).type === 'offline');
  if (late) return '`offline` came after the empty retained message; it must come before it';
  return undefined;
}
