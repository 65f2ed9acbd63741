/** Scenarios about how a device connects, what it does first, and how it comes back. */
import { QUOTA_EXCEEDED } from './broker.mjs';
import { Trial, Unreachable } from './trial.mjs';
import { DEVICES, PAUSES, REFUSAL_MS, backOffFault, jitterFault } from './pauses.mjs';
import { isHandshake, textOf } from './published.mjs';

/** So long nobody listens: longer than the first pause. */
const CLOSED_MS = 3000;
const REPEATED = 'a library repeats what the last connection left (What a client must do, 3)';

/** The first connection: what CONNECT says, and what comes before the handshake. @param {Trial} trial */
export async function firstConnection(trial) {
  trial.broker.holdFromStart = true;
  trial.start();
  const session = await trial.session();
  judgeConnect(trial, session.connect);

  const first = await trial.expect('subscribe-first', 'a SUBSCRIBE', (signal) =>
    session.next(({ cmd }) => cmd === 'subscribe' || cmd === 'publish', signal),
  );
  const fault = subscribeFault(first, trial.outTopic);
  if (fault !== undefined) trial.break('subscribe-first', fault);
  // The SUBACK is held back: nothing may be published yet.
  const isPublish = (/** @type {import('mqtt-packet').Packet} */ { cmd }) => cmd === 'publish';
  await trial.quiet(trial.times.quiet, (signal) => session.until(isPublish, signal));
  const early = session.packets.find(isPublish);
  trial.judge(
    'subscribe-first',
    early === undefined,
    () => `a ${textOf(early ?? { cmd: 'pingreq' }).type} came before the SUBACK`,
  );
  session.holding = false;
  session.release();

  const { publish } = await trial.handshake(session, 'handshake');
  trial.judge('handshake', publish.retain === true, () => 'the handshake is not retained: the service refuses it');
}

/** @param {Trial} trial @param {import('mqtt-packet').IConnectPacket} connect */
function judgeConnect(trial, connect) {
  const expiry = connect.properties?.sessionExpiryInterval ?? 0;
  trial.judge(
    'client-id',
    connect.clientId === trial.id,
    () => `the MQTT client id is ${connect.clientId}, CLIENT_ID is ${trial.id}`,
  );
  trial.judge('clean-session', connect.clean === true && expiry === 0, () =>
    connect.clean === true ? `session expiry is ${expiry}` : 'clean session is false',
  );
  const keepAlive = connect.keepalive ?? 0;
  trial.judge('keep-alive', keepAlive >= 30 && keepAlive <= 60, () => `the keep-alive is ${keepAlive} s`);
  const fault = willFault(trial, connect);
  trial.judge('last-will', fault === undefined, () => String(fault));
}

/** @param {Trial} trial @param {import('mqtt-packet').IConnectPacket} connect @returns {string | undefined} */
function willFault(trial, { will }) {
  if (will === undefined) return 'there is no last will';
  if (will.topic !== trial.inTopic) return `the topic of the last will is ${will.topic}, not ${trial.inTopic}`;
  if (will.qos !== 1) return `the last will has QoS ${will.qos ?? 0}`;
  if (will.retain !== true) return 'the last will is not retained';
  const delay = will.properties?.willDelayInterval ?? 0;
  if (delay !== 0) return `the will delay is ${delay} s`;
  const parsed = trial.settings.protocol.parseInbound(will.payload.toString());
  if (!parsed.ok) return `the last will is refused as ${parsed.refusal.reason}: ${parsed.refusal.details}`;
  return parsed.message.type === 'offline' ? undefined : `the last will is a ${parsed.message.type}`;
}

/** @param {import('mqtt-packet').Packet | undefined} packet @param {string} topic @returns {string | undefined} */
function subscribeFault(packet, topic) {
  if (packet === undefined) return 'the program ended its connection without a SUBSCRIBE';
  if (packet.cmd !== 'subscribe') return `a ${textOf(packet).type} came before the SUBSCRIBE`;
  const [subscription] = packet.subscriptions;
  if (packet.subscriptions.length !== 1 || subscription?.topic !== topic)
    return `it subscribes to ${packet.subscriptions.map((one) => one.topic).join(', ')}, not to ${topic} alone`;
  return subscription.qos === 0 ? 'it subscribes at QoS 0' : undefined;
}

/** A CONNACK with an error, then a connection that breaks before the PUBACK of the handshake. @param {Trial} trial */
export async function reconnects(trial) {
  trial.broker.policy = 'refuse';
  trial.start();
  await trial.expect(undefined, 'a connection', (signal) => trial.broker.untilAttempts(1, signal), {
    whileRunning: true,
  });
  trial.broker.policy = 'accept';
  const session = await trial.session('refused-connect');
  trial.judge('refused-connect', true, () => '');
  session.holding = true;
  session.release();
  const isSubscribe = (/** @type {import('mqtt-packet').Packet} */ { cmd }) => cmd === 'subscribe';
  const options = { session, cause: 'subscribe-first' };
  const subscribe = await trial.expect(
    undefined,
    'a SUBSCRIBE',
    (signal) => session.next(isSubscribe, signal),
    options,
  );
  if (subscribe === undefined) throw new Unreachable('the program ended its connection');
  session.release();
  const { message } = await trial.handshake(session);
  session.drop();

  const again = await trial.session('reconnect');
  const first = await trial.expect('reconnect', 'a SUBSCRIBE after the reconnect', (signal) =>
    again.next(({ cmd }) => cmd === 'subscribe' || cmd === 'publish', signal),
  );
  if (first !== undefined && textOf(first).message_id === message.message_id)
    trial.break('reconnect', `the old handshake was sent again before the SUBSCRIBE: ${REPEATED}`);
  const fault = subscribeFault(first, trial.outTopic);
  if (fault !== undefined) trial.break('reconnect', `after the reconnect ${fault}`);
  const { publish, message: second } = await trial.handshake(again, 'reconnect');
  trial.judge('reconnect', second.message_id !== message.message_id, () =>
    publish.dup
      ? `the old handshake was sent again before the new one: ${REPEATED}`
      : 'the second handshake has the message_id of the first',
  );
}

/** The broker refuses the first subscription. @param {Trial} trial */
export async function subscriptionRefused(trial) {
  const rule = 'subscription-refused';
  trial.broker.holdFromStart = true;
  trial.start();
  const session = await trial.session();
  trial.broker.holdFromStart = false;
  session.refusesSubscriptions = true;
  session.holding = false;
  session.release();
  await trial.expect(rule, 'the end of the connection', (signal) => session.end(signal), { session });
  const handshake = session.packets.map(textOf).find(isHandshake);
  trial.judge(rule, handshake === undefined, () => 'a handshake came, although nothing can reach the device');
  await trial.online(rule);
}

/** The broker refuses the first handshake. @param {Trial} trial */
export async function handshakeNotTaken(trial) {
  const rule = 'puback-error-handshake';
  trial.broker.holdFromStart = true;
  trial.start();
  const session = await trial.session();
  trial.broker.holdFromStart = false;
  session.reasonOf = (packet) => (isHandshake(textOf(packet)) ? QUOTA_EXCEEDED : 0);
  session.holding = false;
  session.release();
  const { message } = await trial.handshake(session);
  await trial.expect(rule, 'the end of the connection', (signal) => session.end(signal), { session });
  const { handshakeId } = await trial.online(rule);
  trial.judge(rule, handshakeId !== message.message_id, () => 'the second handshake has the message_id of the first');
}

/** The first connection breaks before its CONNACK, and then nobody listens for a time. @param {Trial} trial */
export async function noBroker(trial) {
  trial.broker.policy = 'break';
  trial.start();
  await trial.expect(undefined, 'a connection', (signal) => trial.broker.untilBroken(signal), { whileRunning: true });
  trial.broker.close();
  await trial.quiet(CLOSED_MS);
  trial.broker.policy = 'accept';
  await trial.broker.listen();
  await trial.online('no-broker');
  trial.judge('no-broker', true, () => '');
}

/** Three devices lose their broker at once, and it refuses them for a time. @param {Trial} trial */
export async function backOff(trial) {
  const others = await Promise.all(Array.from({ length: DEVICES - 1 }, () => Trial.create(trial.settings)));
  const devices = [trial, ...others];
  try {
    await Promise.all(others.map((device) => device.broker.listen()));
    const online = await Promise.all(
      devices.map((device) => {
        device.start();
        return device.online();
      }),
    );
    const from = performance.now();
    for (const [index, { session }] of online.entries()) {
      const { broker } = /** @type {Trial} */ (devices[index]);
      broker.policy = 'refuse';
      broker.attempts = [from];
      session.drop();
    }
    await Promise.all([
      trial.quiet(REFUSAL_MS),
      ...devices.map((device) =>
        trial.expect('back-off', `attempt ${PAUSES} to reconnect`, (signal) =>
          device.broker.untilAttempts(1 + PAUSES, signal),
        ),
      ),
    ]);
    const attempts = devices.map(({ broker }) => broker.attempts);
    for (const [rule, fault] of /** @type {const} */ ([
      ['back-off', backOffFault(attempts)],
      ['jitter', jitterFault(attempts)],
    ]))
      trial.judge(rule, fault === undefined, () => String(fault));
  } finally {
    await Promise.all(others.map((device) => device.close()));
  }
}
