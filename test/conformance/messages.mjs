/** Scenarios about requests and their answers. */
import { randomUUID } from 'node:crypto';
import { NO_SUBSCRIBERS, QUOTA_EXCEEDED } from './broker.mjs';
import { isAnswer, isGoodbye, refusalOf, textOf } from './published.mjs';

/** @typedef {import('./trial.mjs').Trial} Trial */

/** What a device must ignore: rule 7 of "What a client must do". */
const NOISE = ['', '{', 'null', '7', '[]', '{}', '"text"', '{"type":"message-to-come","message_id":"x","version":1}'];

const UNKNOWN = 'the answer to a directive that it cannot do';
const AFTER_NOISE = 'the answer to a message after what it must ignore';
const AFTER_ERROR = 'the answer to a message after a late handshake-error';
const REPEATED = 'the answer to the repeated message';
const NOT_RECEIVED = 'the answer that nobody got';

/** The largest message of a client that the service takes by default. */
const MAX_INBOUND_BYTES = 262_144;

/** Timers of programs are not exact. */
const TOLERANCE = 0.95;

/** Answers, errors, repeats, and what is to be ignored. @param {Trial} trial */
export async function answers(trial) {
  trial.start();
  const { session, handshakeId } = await trial.online();

  const request = trial.request();
  const packetId = trial.send(session, request);
  const { publish, message } = await trial.answerTo(session, request.message_id, 'answer');
  trial.judge('answer', message.type === 'message-response' && publish.retain !== true, () =>
    publish.retain === true
      ? 'the answer is retained'
      : `the answer is a ${message.type}: ${JSON.stringify(message.payload)}`,
  );
  await trial.expect('puback', 'the PUBACK of a message', async (signal) => {
    while (!session.packets.some((packet) => packet.cmd === 'puback' && packet.messageId === packetId)) {
      if ((await session.next(({ cmd }) => cmd === 'puback', signal)) === undefined)
        trial.break('puback', 'no PUBACK came');
    }
  });
  trial.judge('puback', true, () => '');

  trial.send(session, request);
  const repeat = await trial.answerTo(session, request.message_id, 'repeat', REPEATED);
  judgeRepeat(trial, 'repeat', message, repeat.message);

  const unknown = trial.request({ directive: `conformance:${randomUUID()}` });
  trial.send(session, unknown);
  const refused = await trial.answerTo(session, unknown.message_id, 'message-error', UNKNOWN);
  trial.judge(
    'message-error',
    refused.message.type === 'message-error',
    () => `the answer to ${unknown.directive} is a ${refused.message.type}`,
  );

  for (const text of NOISE) session.publish(trial.outTopic, text);
  session.publish(
    trial.outTopic,
    JSON.stringify(trial.envelope('handshake-response', { in_response_to: handshakeId })),
  );
  const after = trial.request({ 'member-to-come': { a: [1] } });
  trial.send(session, after);
  const { message: afterNoise } = await trial.answerTo(session, after.message_id, 'ignores', AFTER_NOISE);
  trial.judge(
    'ignores',
    afterNoise.type === 'message-response',
    () => `the next message was answered with a ${afterNoise.type}`,
  );

  const late = {
    in_response_to: randomUUID(),
    payload: { details: 'about an earlier handshake', retry_after: 'never' },
  };
  session.publish(trial.outTopic, JSON.stringify(trial.envelope('handshake-error', late)));
  const last = trial.request();
  trial.send(session, last);
  await trial.answerTo(session, last.message_id, 'late-handshake-error', AFTER_ERROR);
  const begins = (/** @type {import('mqtt-packet').Packet} */ packet) =>
    isGoodbye(packet) || packet.cmd === 'disconnect';
  await trial.quiet(trial.times.quiet, (signal) => session.until(begins, signal));
  const left = session.ended || session.packets.some(begins);
  trial.judge('late-handshake-error', !left, () => 'the program said goodbye, or ended its connection');
}

/** @param {Trial} trial @param {string} rule @param {Record<string, unknown>} first @param {Record<string, unknown>} second */
function judgeRepeat(trial, rule, first, second) {
  trial.judge(rule, JSON.stringify(first) === JSON.stringify(second), () =>
    first.message_id === second.message_id
      ? 'the second answer has the message_id of the first, and other content'
      : 'the second answer has another message_id than the first: the message was done again',
  );
}

/** Payloads that may make the answer larger and deeper than the service takes. @param {Trial} trial */
export async function large(trial) {
  const rule = 'answer-size';
  trial.start();
  const { session } = await trial.online();
  const request = trial.request({ payload: { text: 'x'.repeat(MAX_INBOUND_BYTES) } });
  trial.send(session, request);
  const { publish } = await trial.answerTo(session, request.message_id, rule, 'the answer to a large message');
  const { length } = publish.payload;
  trial.judge(
    rule,
    length <= MAX_INBOUND_BYTES,
    () => `the answer has ${length} bytes; the service takes ${MAX_INBOUND_BYTES}`,
  );
  const { protocol } = trial.settings;
  const payload = JSON.parse('['.repeat(protocol.MAX_DEPTH) + ']'.repeat(protocol.MAX_DEPTH));
  const deep = trial.request({ payload });
  trial.send(session, deep);
  const answer = await trial.answerTo(session, deep.message_id, rule, 'the answer to a deep message');
  const refusal = refusalOf(answer.publish, protocol);
  trial.judge(rule, refusal === undefined, () => refusal ?? '');
}

/** A repeat after the time to live of the message. @param {Trial} trial */
export async function expired(trial) {
  trial.start();
  const { session } = await trial.online();
  const lifeMs = trial.times.quiet;
  const request = trial.request({
    sent: new Date().toISOString(),
    expires: new Date(Date.now() + lifeMs).toISOString(),
  });
  trial.send(session, request);
  const { message } = await trial.answerTo(session, request.message_id, 'repeat-expired');
  await trial.quiet(2 * lifeMs);
  trial.send(session, request);
  const repeat = await trial.answerTo(session, request.message_id, 'repeat-expired', REPEATED);
  judgeRepeat(trial, 'repeat-expired', message, repeat.message);
}

/** The program is killed as soon as it has answered, and started again. @param {Trial} trial */
export async function restart(trial) {
  const program = trial.start();
  const { session } = await trial.online();
  // One answered before the kill, and one whose answer has just come.
  const requests = [trial.request(), trial.request()];
  /** @type {Record<string, unknown>[]} */
  const first = [];
  for (const request of requests) {
    trial.send(session, request);
    first.push((await trial.answerTo(session, request.message_id, 'repeat-after-restart')).message);
  }
  await program.kill();
  trial.start();
  const { session: second } = await trial.online('repeat-after-restart');
  for (const [index, request] of requests.entries()) {
    trial.send(second, request);
    const { message } = await trial.answerTo(second, request.message_id, 'repeat-after-restart', REPEATED);
    judgeRepeat(trial, 'repeat-after-restart', first[index] ?? {}, message);
  }
  // An answer may come again because of the repeat, and because it had no PUBACK: each of them must be the same.
  const last = trial.request();
  trial.send(second, last);
  await trial.answerTo(second, last.message_id, 'repeat-after-restart');
  for (const message of second.packets.map(textOf)) {
    const index = requests.findIndex(({ message_id }) => message_id === message.in_response_to);
    if (index >= 0 && isAnswer(message)) judgeRepeat(trial, 'repeat-after-restart', first[index] ?? {}, message);
  }
}

/** The connection breaks before the PUBACK of an answer. */
export const unacknowledged = endsBeforePuback('unacknowledged-answer', async (_trial, session) => session.drop());

/** The program is killed before the PUBACK of an answer, and started again. */
export const unacknowledgedAfterRestart = endsBeforePuback('unacknowledged-answer-after-restart', async (trial) => {
  await trial.program?.kill();
  trial.start();
});

/** The PUBACK of an answer is an error. Later the connection breaks. */
export const notTaken = endsBeforePuback(
  'puback-error',
  async (trial, session, publish) => {
    const isSame = (/** @type {import('mqtt-packet').Packet} */ packet) =>
      packet !== publish &&
      isAnswer(textOf(packet)) &&
      textOf(packet).in_response_to === textOf(publish).in_response_to;
    await trial.quiet(trial.times.quiet, (signal) => session.until(isSame, signal));
    if (session.packets.some(isSame)) trial.break('puback-error', 'the answer came again on the same connection');
    session.drop();
  },
  (session) => (session.reasonOf = (packet) => (isAnswer(textOf(packet)) ? QUOTA_EXCEEDED : 0)),
);

/** The PUBACK of an answer says twice that nobody got it. Then the connection breaks. @param {Trial} trial */
export async function notReceived(trial) {
  const rule = 'puback-no-subscribers';
  trial.start();
  const { session } = await trial.online();
  // In MQTT 3.1.1 a device cannot know.
  if (!session.isVersion5) return void trial.judge(rule, true, () => '');
  /** @type {number[]} */
  const times = [];
  session.reasonOf = (packet) => {
    if (!isAnswer(textOf(packet))) return 0;
    times.push(performance.now());
    return NO_SUBSCRIBERS;
  };
  const request = trial.request();
  trial.send(session, request);
  const { message } = await trial.answerTo(session, request.message_id, rule);
  const { message: second } = await trial.answerTo(session, request.message_id, rule, NOT_RECEIVED);
  judgeRepeat(trial, rule, message, second);
  const [first = 0, next = 0] = times;
  const pausedMs = Math.round(next - first);
  const { shortestPause } = trial.times;
  trial.judge(
    rule,
    pausedMs >= TOLERANCE * shortestPause,
    () => `the answer came again after ${pausedMs} ms; the pause is ${shortestPause} ms at first`,
  );
  session.drop();
  const { session: again } = await trial.online(rule);
  const { message: third } = await trial.answerTo(again, request.message_id, rule, NOT_RECEIVED);
  judgeRepeat(trial, rule, message, third);
}

/**
 * @typedef {import('./broker.mjs').Session} Session
 * @param {string} rule @param {(trial: Trial, session: Session, publish: import('mqtt-packet').Packet) => Promise<void>} end
 * @param {(session: Session) => void} withhold the PUBACK of the answer
 */
function endsBeforePuback(rule, end, withhold = (session) => (session.holding = true)) {
  return async (/** @type {Trial} */ trial) => {
    trial.start();
    const { session } = await trial.online();
    withhold(session);
    const request = trial.request();
    trial.send(session, request);
    const { publish, message } = await trial.answerTo(session, request.message_id, rule);
    if (publish.qos === 0) trial.break(rule, 'the answer came at QoS 0, which has no PUBACK');
    await end(trial, session, publish);
    const again = await trial.session(rule);
    const { publish: handshake } = await trial.handshake(again, rule);
    const early = again.packets
      .slice(0, again.packets.indexOf(handshake))
      .some((packet) => textOf(packet).in_response_to === request.message_id);
    if (early) trial.break(rule, 'the answer came again before the handshake; it must follow it');
    const { message: repeat } = await trial.answerTo(again, request.message_id, rule, 'the answer without a PUBACK');
    judgeRepeat(trial, rule, message, repeat);
  };
}
