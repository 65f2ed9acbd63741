/**
 * The example device with the faults that FAULTS names. The faults are where it meets MQTT.js, so that everything else stays right:
 * what it sends and gets passes through here, each fault around those before it. `broken.spec.ts` says which rule each of them breaks.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { Device, demoWork } from '../../examples/device/device.mjs';

const { CLIENT_ID = '', MQTT_URL = '', STATE_DIR = '' } = process.env;
const ANSWERS = join(STATE_DIR, 'answers.json');
const names = (process.env.FAULTS ?? '').split(',');
/** @type {any} its types do not allow for other functions */
const client = mqtt.MqttClient.prototype;
/** @type {(line: string) => void} */
let onLine = () => undefined;

/** Changes the options of the connection. @param {(options: any) => void} change */
function withOptions(change) {
  const { connect } = client;
  client.connect = function () {
    change(this.options);
    return connect.call(this);
  };
}

/**
 * Changes what is published: `change` returns the new message, or undefined to drop it.
 * @param {(message: any, options: any) => any} change
 */
function withPublished(change) {
  const { publishAsync } = client;
  client.publishAsync = function (/** @type {string} */ topic, /** @type {any} */ text, /** @type {any} */ options) {
    if (text === '') return publishAsync.call(this, topic, text, options);
    const changed = change(JSON.parse(text), options);
    return changed === undefined
      ? Promise.resolve(undefined)
      : publishAsync.call(this, topic, JSON.stringify(changed), options);
  };
}

/** @param {(subscribe: (topic: string, options: any) => Promise<any>, topic: string, options: any) => Promise<any>} change */
function withSubscribe(change) {
  const { subscribeAsync } = client;
  client.subscribeAsync = function (/** @type {string} */ topic, /** @type {any} */ options) {
    return change((...args) => subscribeAsync.apply(this, args), topic, options);
  };
}

/** Changes the messages of one type that come. @param {string} type @param {(message: any) => void} change */
function withReceived(type, change) {
  const { emit } = client;
  client.emit = function (/** @type {any} */ event, /** @type {any[]} */ ...args) {
    if (event === 'message') {
      const text = String(args[1]);
      if (text.includes(`"type":"${type}"`)) {
        const message = JSON.parse(text);
        change(message);
        args[1] = Buffer.from(JSON.stringify(message));
      }
    }
    return emit.call(this, event, .../** @type {[any]} */ (args));
  };
}

/** Changes the PUBACKs that come. @param {(packet: any, client: any) => void} change */
function withPubacks(change) {
  const { emit } = client;
  client.emit = function (/** @type {any} */ event, /** @type {any[]} */ ...args) {
    if (event === 'packetreceive' && args[0].cmd === 'puback') change(args[0], this);
    return emit.call(this, event, .../** @type {[any]} */ (args));
  };
}

/** @param {any} message */
function isAnswer({ type }) {
  return type === 'message-response' || type === 'message-error';
}

/** @type {Record<string, () => void>} */
const FAULTS = {
  'another-client-id': () => withOptions((options) => (options.clientId = `my-${options.clientId}`)),
  'persistent-session': () => withOptions((options) => (options.clean = false)),
  'session-expiry': () => withOptions((options) => (options.properties = { sessionExpiryInterval: 3600 })),
  'no-keep-alive': () => withOptions((options) => (options.keepalive = 0)),
  'no-will': () => withOptions((options) => delete options.will),
  'will-not-retained': () => withOptions((options) => (options.will.retain = false)),
  'will-delay': () => withOptions((options) => (options.will.properties = { willDelayInterval: 30 })),
  'will-of-nothing': () => withOptions((options) => (options.will.payload = Buffer.from(''))),
  'gives-up': () => withOptions((options) => (options.reconnectOnConnackError = false)),
  'ends-without-broker': () => (onLine = (line) => line.startsWith('connection:') && process.exit(1)),
  'comes-back-at-once': () => withOptions((options) => fixPauses(options, 100)),
  'no-subscribe': () => (client.subscribeAsync = async () => []),
  'subscribes-to-all': () => withSubscribe((subscribe, _topic, options) => subscribe('#', options)),
  'subscribes-at-qos-0': () => withSubscribe((subscribe, topic) => subscribe(topic, { qos: 0 })),
  'no-wait-for-suback': () =>
    withSubscribe(async (subscribe, topic, options) => {
      void subscribe(topic, options);
      return [];
    }),
  'subscribes-once': () => {
    let done = false;
    withSubscribe(async (subscribe, topic, options) => {
      if (done) return [];
      const granted = await subscribe(topic, options);
      done = true;
      return granted;
    });
  },
  'handshake-not-retained': () =>
    withPublished((message, options) => {
      if (message.type === 'host-handshake') options.retain = false;
      return message;
    }),
  'handshake-without-facts': () =>
    withPublished((message) => (message.type === 'host-handshake' ? { ...message, payload: {} } : message)),
  'same-handshake-id': () =>
    withPublished((message) => (message.type === 'host-handshake' ? { ...message, message_id: 'handshake' } : message)),
  'at-qos-0': () => withPublished((message, options) => ((options.qos = 0), message)),
  'no-type': () => withPublished((message) => ({ ...message, type: undefined })),
  'fails-on-messages': () => {
    const { emit } = client;
    client.emit = function (/** @type {any} */ event, /** @type {any[]} */ ...args) {
      if (event === 'message') process.exit(1);
      return emit.call(this, event, .../** @type {[any]} */ (args));
    };
  },
  'no-puback': () => (client.handleMessage = () => undefined),
  'no-answer': () => withPublished((message) => (isAnswer(message) ? undefined : message)),
  'answer-retained': () => withPublished((message, options) => (isAnswer(message) && (options.retain = true), message)),
  'answers-at-any-size': () =>
    withPublished((message) =>
      String(message.payload?.details).startsWith('the answer has ')
        ? { ...message, type: 'message-response', payload: 'x'.repeat(262_144) }
        : message,
    ),
  'answers-at-any-depth': () =>
    withPublished((message) =>
      String(message.payload?.details).startsWith('the answer nests ')
        ? { ...message, type: 'message-response', payload: JSON.parse('['.repeat(32) + ']'.repeat(32)) }
        : message,
    ),
  'answers-another-message': () =>
    withPublished((message) => (isAnswer(message) ? { ...message, in_response_to: randomUUID() } : message)),
  'everything-works': () =>
    withPublished((message) => (message.type === 'message-error' ? { ...message, type: 'message-response' } : message)),
  'does-it-again': () =>
    withPublished((message) => (isAnswer(message) ? { ...message, message_id: randomUUID() } : message)),
  'silent-when-repeated': () => {
    const sent = new Set();
    withPublished((message) => {
      if (sent.has(message.message_id)) return undefined;
      sent.add(message.message_id);
      return message;
    });
  },
  'forgets-expired': () => {
    const expiries = new Map();
    withReceived('message', ({ message_id, expires }) => expiries.set(message_id, expires));
    withPublished((message) =>
      Date.parse(expiries.get(message.in_response_to)) < Date.now()
        ? { ...message, message_id: randomUUID() }
        : message,
    );
  },
  'answers-in-memory': () => undefined,
  'takes-answers-for-sent': () => {
    if (!existsSync(ANSWERS)) return;
    const entries = JSON.parse(readFileSync(ANSWERS, 'utf8'));
    writeFileSync(ANSWERS, JSON.stringify(entries.map((/** @type {any} */ entry) => ({ ...entry, unsent: false }))));
  },
  'ignores-puback-errors': () => {
    const { publishAsync } = client;
    client.publishAsync = function (/** @type {any[]} */ ...args) {
      return publishAsync.apply(this, args).catch(() => undefined);
    };
  },
  'repeats-after-puback-errors': () => {
    const { publishAsync } = client;
    client.publishAsync = function (/** @type {any[]} */ ...args) {
      const again = (/** @type {unknown} */ error) => {
        if (this.connected) void publishAsync.apply(this, args).catch(() => undefined);
        throw error;
      };
      return publishAsync.apply(this, args).catch(again);
    };
  },
  'takes-0x10-for-received': () => withPubacks((packet) => (packet.reasonCode = 0)),
  'repeats-0x10-at-once': () => {
    /** @type {any[]} */
    let answer = [];
    const { publishAsync } = client;
    client.publishAsync = function (/** @type {any[]} */ ...args) {
      if (String(args[1]).includes('"type":"message-response"')) answer = args;
      return publishAsync.apply(this, args);
    };
    withPubacks(
      ({ reasonCode }, one) => reasonCode === 16 && void publishAsync.apply(one, answer).catch(() => undefined),
    );
  },
  'fails-on-noise': () => {
    const { emit } = client;
    client.emit = function (/** @type {any} */ event, /** @type {any[]} */ ...args) {
      if (event === 'message') JSON.parse(String(args[1]));
      return emit.call(this, event, .../** @type {[any]} */ (args));
    };
  },
  'handshake-without-subscription': () =>
    withSubscribe((subscribe, topic, options) => subscribe(topic, options).catch(() => [])),
  'fails-on-unreadable-times': () =>
    withReceived('force-disconnect', ({ payload }) => {
      if (payload.reconnect_after === 'soon') process.exit(1);
    }),
  'believes-late-errors': () => withReceived('handshake-error', (message) => (message.in_response_to = null)),
  'stays-connected': () => {
    withReceived('force-disconnect', (message) => (message.type = 'message-to-come'));
  },
  'no-wait-when-forced': () => withReceived('force-disconnect', ({ payload }) => (payload.reconnect_after = 'PT0S')),
  'counts-by-its-clock': () => withReceived('force-disconnect', (message) => delete message.sent),
  'no-wait-when-refused': () =>
    withReceived('handshake-error', ({ payload }) => payload.retry_after && (payload.retry_after = 'PT0S')),
  'goodbye-backwards': () => {
    const { publishAsync } = client;
    let offline = '';
    client.publishAsync = async function (
      /** @type {string} */ topic,
      /** @type {any} */ text,
      /** @type {any} */ options,
    ) {
      if (text !== '' && JSON.parse(text).type === 'offline') return void (offline = text);
      await publishAsync.call(this, topic, text, options);
      if (text === '') await publishAsync.call(this, topic, offline, { qos: 1 });
    };
  },
  'sent-without-offset': () => withPublished((message) => ({ ...message, sent: message.sent.replace('Z', '') })),
  'repeats-old-handshake': () => (client.removeOutgoingMessage = () => undefined),
  'answers-at-qos-0': () => withPublished((message, options) => (isAnswer(message) && (options.qos = 0), message)),
  'leaves-handshake': () => {
    const { publishAsync } = client;
    client.publishAsync = function (/** @type {string} */ topic, /** @type {any} */ text, /** @type {any} */ options) {
      return text === '' ? Promise.resolve(undefined) : publishAsync.call(this, topic, text, options);
    };
  },
  'no-wait-for-pubacks': () => {
    const { publishAsync } = client;
    client.publishAsync = async function (
      /** @type {string} */ topic,
      /** @type {any} */ text,
      /** @type {any} */ options,
    ) {
      publishAsync.call(this, topic, text, options).catch(() => undefined);
      return undefined;
    };
    // MQTT.js itself would wait: this is a DISCONNECT.
    client.endAsync = async function () {
      this.stream.end(Buffer.from([0xe0, 0]), () => process.exit(0));
    };
  },
  'no-pause-when-refused': () => undefined,
  'fails-at-work': () => undefined,
  vanishes: () => undefined,
  'stays-while-away': () => undefined,
};

/** @param {any} options @param {number} ms */
function fixPauses(options, ms) {
  if (options.reconnectPeriod !== ms)
    Object.defineProperty(options, 'reconnectPeriod', { get: () => ms, set: () => {} });
}

/** @param {{ payload?: unknown }} message @returns {never} */
function failAt({ payload }) {
  throw new Error(`failed at ${JSON.stringify(payload)}`);
}

for (const name of names) {
  const fault = FAULTS[name];
  if (fault === undefined) throw new Error(`FAULTS must be some of ${Object.keys(FAULTS).join(', ')}`);
  fault();
}

const device = new Device({
  id: CLIENT_ID,
  url: MQTT_URL,
  answersFile: names.includes('answers-in-memory') ? undefined : ANSWERS,
  onMessage: names.includes('fails-at-work') ? failAt : demoWork,
  // A pause of 0 to 1 ms, in place of the shortest one of a second.
  firstPauseMs: names.includes('no-pause-when-refused') ? 1 : undefined,
  log: (line) => {
    console.log(line);
    onLine(line);
  },
});
process.on('SIGTERM', () => {
  if (names.includes('vanishes')) process.exit(0);
  if (names.includes('stays-while-away') && device.client.disconnecting) return;
  void device.stop();
});
