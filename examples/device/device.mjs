#!/usr/bin/env node
/**
 * A device that stays connected to Cloud Connector. Copy it and put your own work into `onMessage`.
 *
 *   node device.mjs --id my-host [--url mqtt://127.0.0.1:1883] [--proxy] [--answers my-host.answers.json]
 *
 * The environment may set the same: CLIENT_ID, MQTT_URL, and STATE_DIR, the folder of the answers. Needs one package: mqtt.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';

/** How many answers the device remembers at most: then it forgets the oldest. */
const MAX_ANSWERS = 10_000;
/** The service takes no larger answer (MAX_INBOUND_BYTES), and shows so many characters of an error. */
const MAX_ANSWER_BYTES = 262_144;
const MAX_DETAILS = 1000;
/** An answer may nest so many levels deep; its envelope is one. */
const MAX_DEPTH = 32;
/** With more messages than this at work, the device refuses others. */
const MAX_AT_WORK = 1000;
/** An answer is remembered until its message has expired, and so much longer. */
const REMEMBER_MS = 600_000;
/** How long a message of release 0.1.0 may live, which does not say when it expires. */
const LONGEST_LIFE_MS = 30 * 86_400_000;
/** The pause before the first reconnect, and the longest one. The pause doubles with each attempt. */
const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 120_000;
/** PUBACK: nobody got it. An answer is sent again after a pause, which doubles each time. */
const NO_SUBSCRIBERS = 0x10;
const FIRST_REPEAT_MS = 1000;
const LONGEST_REPEAT_MS = 60_000;
/** How long it waits for CONNACK and SUBACK, a goodbye for its PUBACKs, and the end of the program for work. */
const ANSWER_MS = 20_000;
const GOODBYE_MS = 10_000;
const WORK_MS = 10_000;
/** After a connection that lasted longer than this, the pauses begin with the first one again. */
const HEALTHY_MS = 60_000;
/** `never` lasts until an operator ends it. The device is not notified of that, so it reconnects at this interval. */
const NEVER_MS = 3_600_000;
/** A JavaScript timer lasts at most 24.8 days, so a longer wait uses several timers. */
const LONGEST_TIMER_MS = 86_400_000;

/**
 * Says how far the work has come; only the last one is kept.
 * @typedef {(progress: { percent?: number, details?: string }) => void} Progress
 */

/**
 * An answer, a `message-response` or `message-error`, and until when it is remembered. `unsent`: it has no PUBACK, so it is sent again
 * after the next handshake, also by the next program. The service takes an answer that comes twice once. `repeat` sends it after a pause.
 * @typedef {{ until: number, answer: string | Promise<string>, unsent?: boolean, repeat?: NodeJS.Timeout }} Remembered
 */

export class Device {
  /** By the ids of their messages, which the service may send twice. @type {Map<string, Remembered>} */
  #answers = new Map();
  /** @type {Set<Promise<void>>} */
  #atWork = new Set();
  /** Of this connection; empty before it. */
  #handshakeId = '';
  #connectedAt = Infinity;
  #attempts = 0;
  /** Connections in a row that ended soon. */
  #losses = 0;
  #stopping = new AbortController();
  /** Packets of which the PUBACK says so: MQTT.js keeps that to itself. @type {Set<number | undefined>} */
  #withoutSubscribers = new Set();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** The goodbye that is under way. @type {Promise<void> | undefined} */
  #leaving;
  /** @type {Promise<void> | undefined} */
  #stopped;

  /**
   * @param {object} options
   * @param {string} options.id the client id: one topic level
   * @param {string} options.url
   * @param {boolean} [options.proxy] connect as a proxy for another system instead of as a host
   * @param {4 | 5} [options.protocolVersion] MQTT 3.1.1 or 5
   * @param {(message: { directive: string, payload?: unknown }, progress: Progress, stopping: AbortSignal) => unknown} [options.onMessage]
   *   does what the message asks. What it returns, or what its promise resolves with, is the payload of the `message-response`,
   *   and the message becomes `answered`. If it throws, the device sends a `message-error`, and the message becomes `failed`.
   *   `stopping` is aborted when the device has to stop: 10 seconds later it gives up what is not done
   * @param {string} [options.answersFile] keeps the answers over restarts; without it they are in memory only. If it cannot be used,
   *   the constructor throws
   * @param {(line: string) => void} [options.log]
   * @param {number} [options.firstPauseMs] the pause before the first reconnect
   */
  constructor({
    id,
    url,
    proxy = false,
    protocolVersion = 5,
    onMessage = hasNoWork,
    answersFile,
    log = () => undefined,
    firstPauseMs = FIRST_PAUSE_MS,
  }) {
    this.id = id;
    this.proxy = proxy;
    this.onMessage = onMessage;
    this.answersFile = answersFile;
    this.log = log;
    this.firstPauseMs = firstPauseMs;
    this.inTopic = `redhat/insights/in/${id}`;
    this.outTopic = `redhat/insights/out/${id}`;
    this.#restoreAnswers();
    this.client = mqtt.connect(url, {
      clientId: id,
      protocolVersion,
      clean: true,
      resubscribe: false,
      // A broker that refuses one CONNECT may accept the next one.
      reconnectOnConnackError: true,
      reconnectPeriod: firstPauseMs,
      connectTimeout: ANSWER_MS,
      // The broker publishes it if this device vanishes; it replaces the retained handshake.
      will: { topic: this.inTopic, payload: Buffer.from(this.#envelope('offline')), qos: 1, retain: true },
    });
    this.client.on('connect', () => {
      this.#connectedAt = performance.now();
      this.#shakeHands().catch((error) => {
        this.log(`handshake: ${error.message}`);
        // Without subscription or handshake the device is of no use: it tries again.
        if (this.client.connected)
          this.#disconnectFor(0).catch((failure) => this.log(`disconnect: ${failure.message}`));
      });
    });
    this.client.on('packetreceive', (packet) => {
      if (packet.cmd === 'puback')
        this.#withoutSubscribers[packet.reasonCode === NO_SUBSCRIBERS ? 'add' : 'delete'](packet.messageId);
    });
    this.client.on('message', (_topic, data) => {
      this.#receive(data.toString()).catch((error) => this.log(`message: ${error.message}`));
    });
    this.client.on('close', () => {
      this.#handshakeId = '';
      // MQTT.js would send them again before it subscribes, the old handshake among them.
      for (const packetId of Object.keys(this.client.outgoing)) this.client.removeOutgoingMessage(Number(packetId));
      if (this.client.disconnecting) return;
      // Between two programs with one client id each attempt succeeds.
      if (this.#connectedAt === Infinity) this.#losses = 0;
      else this.#countLoss();
      this.client.options.reconnectPeriod = this.#nextPause();
    });
    this.client.on('error', (error) => this.log(`connection: ${error.message}`));
  }

  /** Subscribes first, so that the device misses no message that follows its handshake. */
  async #shakeHands() {
    const subscribed = this.client.subscribeAsync(this.outTopic, { qos: 1 });
    if (!(await endsWithin(ANSWER_MS, subscribed))) throw new Error(`no SUBACK in ${ANSWER_MS / 1000} s`);
    if ((await subscribed)[0]?.qos === 0) this.log('the broker grants QoS 0 only: messages may be lost');
    this.#handshakeId = randomUUID();
    const handshake = this.proxy
      ? this.#envelope('proxy-handshake', {
          message_id: this.#handshakeId,
          payload: { catalog_service_facts: { source_type: 'example', application_type: 'example' } },
        })
      : this.#envelope('host-handshake', {
          message_id: this.#handshakeId,
          payload: { canonical_facts: { fqdn: `${this.id}.example.com`, ip_addresses: ['192.0.2.1'] } },
        });
    // Answers from now on follow the handshake by themselves.
    const unsent = [...this.#answers.values()].filter((remembered) => remembered.unsent);
    await this.client.publishAsync(this.inTopic, handshake, { qos: 1, retain: true });
    this.log('connected');
    for (const remembered of unsent) await this.#send(remembered);
  }

  /** @param {string} text */
  async #receive(text) {
    const message = parse(text);
    if (message?.version !== 1) return;
    switch (message.type) {
      case 'message': {
        if (typeof message.message_id !== 'string') return;
        const work = this.#handle(message).finally(() => this.#atWork.delete(work));
        this.#atWork.add(work);
        return work;
      }
      case 'force-disconnect': {
        const after = message.payload?.reconnect_after;
        this.log(`asked to disconnect, and to reconnect after ${after}`);
        this.#attempts = 0;
        return this.#disconnectFor(Math.max(waitOf(after, message.sent), this.firstPauseMs / 2));
      }
      case 'handshake-error':
        // A late refusal may concern an earlier handshake.
        if ((message.in_response_to ?? this.#handshakeId) !== this.#handshakeId) return;
        this.log(`handshake refused: ${message.payload?.details}`);
        return this.#disconnectFor(Math.max(waitOf(message.payload?.retry_after), this.firstPauseMs / 2));
    }
  }

  /** Does what a message asks, once, and sends the same answer each time that the message comes. @param {any} message */
  async #handle(message) {
    const { message_id } = message;
    if (!this.#answers.has(message_id)) {
      this.log(`message ${message.directive} ${JSON.stringify(message.payload)}`);
      const answer = this.#perform(message);
      /** @type {Remembered} */
      const remembered = { until: rememberUntil(message), answer };
      this.#answers.set(message_id, remembered);
      this.#forgetOld();
      // Work that a restart interrupts is done again.
      remembered.answer = await answer;
      remembered.unsent = true;
      this.#saveAnswers();
    }
    const remembered = this.#answers.get(message_id);
    await remembered?.answer;
    if (remembered !== undefined) await this.#send(remembered);
  }

  #forgetOld() {
    // A clock that jumps must not take away what was not sent.
    for (const [id, { until, unsent }] of this.#answers) if (!unsent && until < Date.now()) this.#answers.delete(id);
    const [oldest = ''] = this.#answers.keys();
    if (this.#answers.size > MAX_ANSWERS) this.#answers.delete(oldest);
  }

  /**
   * The file is a JSON array of `{ id, until, answer }`, the oldest first, `until` in seconds since 1970, in all example devices, with
   * `unsent: true` if the answer has no PUBACK.
   */
  #restoreAnswers() {
    const file = this.answersFile;
    if (file === undefined) return;
    try {
      for (const { id, until, answer, unsent } of existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []) {
        if (typeof id !== 'string' || typeof until !== 'number' || typeof answer !== 'string')
          throw new Error('an entry is not of the form {id, until, answer}');
        this.#answers.set(id, { until: until * 1000, answer, unsent });
      }
    } catch (error) {
      const words = `${file} cannot be read: ${wordsOf(error)}; delete it, and repeats will be done again`;
      throw new Error(words, { cause: error });
    }
    this.#forgetOld();
    try {
      writeFileSync(`${file}.new`, '');
      rmSync(`${file}.new`);
    } catch (error) {
      const words = `${file} cannot be written: ${wordsOf(error)}; its folder must be one in which this program may write`;
      throw new Error(words, { cause: error });
    }
  }

  /** Writes another file first: a crash leaves the old one or the new one. A PUBACK is written with the next answer, or at the end. */
  #saveAnswers() {
    const file = this.answersFile;
    if (file === undefined) return;
    const done = [...this.#answers].flatMap(([id, { until, answer, unsent }]) =>
      typeof answer === 'string' ? [{ id, until: until / 1000, answer, unsent }] : [],
    );
    try {
      writeFileSync(`${file}.new`, JSON.stringify(done), { flush: true });
      renameSync(`${file}.new`, file);
    } catch (error) {
      this.log(`${file} cannot be written: ${wordsOf(error)}; after a restart a repeat would be done again`);
    }
  }

  /** @param {Remembered} remembered */
  async #send(remembered, pauseMs = FIRST_REPEAT_MS) {
    remembered.unsent = true;
    if (this.#handshakeId === '') return;
    try {
      const packet = await this.client.publishAsync(this.inTopic, await remembered.answer, { qos: 1 });
      if (this.#withoutSubscribers.delete(packet?.messageId)) this.#sendLater(remembered, pauseMs);
      else delete remembered.unsent;
    } catch (error) {
      // No PUBACK, or one with an error.
      this.log(`answer: ${wordsOf(error)}`);
    }
  }

  /**
   * Only on this connection: the next one sends all that is unsent. Each answer has one timer, however often it was sent.
   * @param {Remembered} remembered @param {number} pauseMs
   */
  #sendLater(remembered, pauseMs) {
    const handshakeId = this.#handshakeId;
    const send = () => {
      if (this.#handshakeId === handshakeId && remembered.unsent && remembered.until > Date.now())
        void this.#send(remembered, Math.min(2 * pauseMs, LONGEST_REPEAT_MS));
    };
    clearTimeout(remembered.repeat);
    remembered.repeat = setTimeout(send, pauseMs).unref();
  }

  /** @param {any} message @returns {Promise<string>} the answer */
  async #perform(message) {
    const about = { in_response_to: message.message_id };
    try {
      if (this.#atWork.size >= MAX_AT_WORK) throw new Error('too many messages are at work');
      const report = (/** @type {object} */ progress) => {
        const text = this.#envelope('message-progress', { ...about, payload: progress });
        if (this.#handshakeId === '') return;
        this.client
          .publishAsync(this.inTopic, text, { qos: 1 })
          .catch((error) => this.log(`progress: ${error.message}`));
      };
      const payload = await this.onMessage(message, report, this.#stopping.signal);
      const answer = this.#envelope('message-response', { ...about, ...(payload !== undefined && { payload }) });
      const bytes = Buffer.byteLength(answer);
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer has ${bytes} bytes, and may have ${MAX_ANSWER_BYTES}`);
      if (isDeeperThan(MAX_DEPTH, parse(answer))) throw new Error(`the answer nests deeper than ${MAX_DEPTH} levels`);
      return answer;
    } catch (error) {
      const details = wordsOf(error).slice(0, MAX_DETAILS);
      return this.#envelope('message-error', { ...about, payload: { details } });
    }
  }

  /** Disconnects, and connects again after `waitMs` and a pause. @param {number} waitMs */
  async #disconnectFor(waitMs) {
    if (this.#leaving !== undefined || this.client.disconnecting) return;
    const pauseMs = this.#nextPause();
    await this.#leave();
    if (!this.#stopping.signal.aborted) this.#reconnectIn(waitMs + pauseMs);
  }

  /** @param {number} ms */
  #reconnectIn(ms) {
    const partMs = Math.min(ms, LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      if (ms > partMs) this.#reconnectIn(ms - partMs);
      else this.client.reconnect();
    }, partMs);
  }

  #countLoss() {
    this.#losses = performance.now() - this.#connectedAt > HEALTHY_MS ? 0 : this.#losses + 1;
    if (this.#losses > 1)
      this.log(
        'it ended soon after connecting, again: if the broker was not restarted, is there another program with the same client id?',
      );
  }

  /** The pause before the next attempt. It grows, and is random so that a fleet does not reconnect at the same moment. */
  #nextPause() {
    if (performance.now() - this.#connectedAt > HEALTHY_MS) this.#attempts = 0;
    this.#connectedAt = Infinity;
    const longest = Math.min(LONGEST_PAUSE_MS, this.firstPauseMs * 2 ** this.#attempts++);
    // To MQTT.js 0 means never.
    return Math.max(1, longest * Math.random());
  }

  /** Says goodbye, and does not connect again. Who calls it twice waits for the same end. */
  stop() {
    return (this.#stopped ??= this.#stop());
  }

  async #stop() {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    if (!(await endsWithin(WORK_MS, Promise.allSettled(this.#atWork))))
      this.log(`work was not done in ${WORK_MS / 1000} s`);
    if (this.#leaving !== undefined || !this.client.disconnecting) await this.#leave();
    this.#saveAnswers();
  }

  /** Says goodbye if there is a connection. Who calls it during a goodbye waits for that one: a second one would end the connection. */
  #leave() {
    return (this.#leaving ??= this.#sayGoodbyeAndEnd().finally(() => (this.#leaving = undefined)));
  }

  /** If there is no connection, drops the publishes that wait for a PUBACK. */
  async #sayGoodbyeAndEnd() {
    const hasShakenHands = this.#handshakeId !== '';
    // Nothing is published after the goodbye.
    this.#handshakeId = '';
    if (this.client.connected) {
      const closed = new Promise((resolve) => this.client.once('close', () => resolve(undefined)));
      const goodbye = (hasShakenHands ? this.#sayGoodbye() : Promise.resolve()).catch((error) =>
        this.log(`goodbye: ${error.message}`),
      );
      const inTime = await endsWithin(GOODBYE_MS, Promise.race([goodbye, closed]));
      if (!inTime) this.log('goodbye: no PUBACK');
      await this.client.endAsync(!inTime || !this.client.connected);
    } else await this.client.endAsync(true);
    this.log('disconnected');
  }

  /** Publishes `offline`, then removes the retained handshake. Each publish waits for its PUBACK. */
  async #sayGoodbye() {
    await this.client.publishAsync(this.inTopic, this.#envelope('offline'), { qos: 1 });
    await this.client.publishAsync(this.inTopic, '', { qos: 1, retain: true });
  }

  /** @param {string} type */
  #envelope(type, more = {}) {
    return JSON.stringify({ type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...more });
  }
}

/** Whether a promise resolves in time. @param {number} ms @param {Promise<unknown>} promise */
async function endsWithin(ms, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  return Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer));
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}

function hasNoWork() {
  throw new Error('this device has no work: give it an onMessage');
}

/** @param {number} levels @param {unknown} value @returns {boolean} */
function isDeeperThan(levels, value) {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isDeeperThan(levels - 1, member));
}

/**
 * Counted from the arrival of the message, so that the clock of the device may be wrong.
 * @param {{ sent: string, expires?: string }} message
 */
export function rememberUntil({ sent, expires }) {
  const lifeMs = Date.parse(expires ?? '') - Date.parse(sent);
  return Date.now() + Math.max(0, Number.isNaN(lifeMs) ? LONGEST_LIFE_MS : lifeMs) + REMEMBER_MS;
}

/** @param {string} text @returns {any} undefined if it is not a JSON object: all messages of the protocol are */
function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How long to stay disconnected, in milliseconds; 0 if the value cannot be parsed: the service refuses a handshake that is
 * too early.
 * @param {unknown} reconnectAfter a duration such as `PT30S`, a time, or `never`
 * @param {string} [sent] when the service said so, by its clock: the clock of the device may be wrong
 */
export function waitOf(reconnectAfter, sent) {
  if (reconnectAfter === 'never') return NEVER_MS;
  const text = String(reconnectAfter);
  const parts = /^P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?)$/.exec(text);
  if (parts === null) return Math.max(0, Date.parse(text) - (Date.parse(sent ?? '') || Date.now())) || 0;
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = parts.slice(1).map((part) => Number(part ?? 0));
  return ((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
}

/**
 * The work of a device that is there to try the service with.
 * @param {{ directive: string, payload?: any }} message @param {Progress} progress @param {AbortSignal} stopping
 */
export async function demoWork({ directive, payload }, progress, stopping) {
  switch (directive) {
    case 'demo:ping':
      return { pong: payload ?? null };
    case 'demo:work': {
      const steps = Math.min(100, Math.max(1, Math.trunc(Number(payload?.steps ?? 2)) || 1));
      for (let step = 1; step <= steps; step++) {
        await sleep(1000, undefined, { signal: stopping }).catch(() => {
          throw new Error('the device stops');
        });
        progress({ percent: Math.round((100 * step) / steps), details: `step ${step} of ${steps}` });
      }
      return { steps };
    }
    default:
      throw new Error(`this device cannot do ${directive}; it can do demo:ping and demo:work`);
  }
}

const USAGE = `A device that stays connected to Cloud Connector.

  node device.mjs [--id CLIENT_ID] [--url MQTT_URL] [--proxy] [--answers FILE]

  --id       the client id; CLIENT_ID, or a random one, without it
  --url      the broker; MQTT_URL, or mqtt://127.0.0.1:1883, without it
  --proxy    connect as a proxy for another system instead of as a host
  --answers  the file that keeps the answers over restarts; one in the folder STATE_DIR, if that is set, without it
  --help     show this`;

const { CLIENT_ID, MQTT_URL, STATE_DIR } = process.env;

/** @returns what the command line says; undefined if it cannot be read */
function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        id: { type: 'string', default: CLIENT_ID ?? `device-${randomUUID().slice(0, 8)}` },
        url: { type: 'string', default: MQTT_URL ?? 'mqtt://127.0.0.1:1883' },
        proxy: { type: 'boolean', default: false },
        answers: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (!values.help && (!URL.canParse(values.url) || new URL(values.url).host === ''))
      throw new Error('the address of the broker is not of the form mqtt://host:port');
    return values;
  } catch (error) {
    console.error(wordsOf(error));
    return undefined;
  }
}

function run() {
  const read = readOptions();
  if (read === undefined) {
    console.error(`\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  const { answers, help, ...options } = read;
  if (help) {
    console.log(USAGE);
    return;
  }
  const answersFile = answers ?? (STATE_DIR === undefined ? undefined : join(STATE_DIR, `${options.id}.answers.json`));
  try {
    const device = new Device({
      ...options,
      answersFile,
      onMessage: demoWork,
      log: (line) => console.log(`${options.id}: ${line}`),
    });
    // Work that goes on does not keep the program alive.
    for (const signal of ['SIGINT', 'SIGTERM'])
      process.on(signal, () => void device.stop().finally(() => process.exit()));
  } catch (error) {
    console.error(wordsOf(error));
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) run();
