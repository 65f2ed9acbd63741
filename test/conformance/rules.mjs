/** The rules of docs/protocol.md that a device program can be checked against, each with its section, and its number in it. */

/**
 * `number`: those of the section's list, if it has one.
 * @typedef {{ id: string, section: string, text: string, number?: string }} Rule
 */

/** @type {readonly Rule[]} */
export const RULES = [
  rule('client-id', 'Connecting', 'the MQTT client id is CLIENT_ID'),
  rule('clean-session', 'Connecting', 'the session is clean; in MQTT 5 clean start is true and session expiry is 0'),
  rule('keep-alive', 'Connecting', 'the keep-alive is 30 to 60 seconds'),
  rule('last-will', 'Connecting', 'the last will is `offline`, retained, QoS 1, on the in topic, without a delay'),
  rule('refused-connect', 'Connecting', 'it tries again after a CONNACK with an error'),
  rule('no-broker', 'Connecting', 'it tries again if no connection can be made'),
  rule('back-off', 'Connecting', 'the pauses between attempts grow'),
  rule(
    'jitter',
    'Connecting',
    'the pauses are random: devices that lost their broker together do not come back together',
  ),
  rule('envelope', 'Envelope', 'everything it publishes is valid, at QoS 1, on the in topic, and has an id of its own'),
  rule(
    'subscribe-first',
    'What a client must do',
    'it subscribes to its out topic at QoS 1, and waits for the SUBACK before its handshake',
    '2',
  ),
  rule(
    'subscription-refused',
    'What a client must do',
    'if its subscription is refused, it disconnects without a handshake, and tries again',
    '2',
  ),
  rule('handshake', 'What a client must do', 'its handshake is retained', '3'),
  rule(
    'reconnect',
    'What a client must do',
    'after a reconnect it subscribes and sends a handshake with a new id',
    '3',
  ),
  rule(
    'puback-error-handshake',
    'Connecting',
    'if the PUBACK of its handshake is an error, it disconnects, and tries again',
  ),
  rule('puback', 'What a client must do', 'it acknowledges messages with a PUBACK', '4'),
  rule('answer', 'message-response', 'it answers a message on its in topic, not retained, with in_response_to'),
  rule(
    'answer-size',
    'Envelope',
    'an answer that would be larger than 262,144 bytes or deeper than 32 levels becomes a message-error',
  ),
  rule('message-error', 'message-error', 'it answers a directive that it cannot do with a message-error'),
  rule('repeat', 'What a client must do', 'a repeated message gets the same answer, with its message_id', '4'),
  rule('repeat-expired', 'message', 'it remembers a message after it has expired'),
  rule(
    'repeat-after-restart',
    'What a client must do',
    'it remembers a message after it was killed and started again',
    '4',
  ),
  rule(
    'unacknowledged-answer',
    'What a client must do',
    'an answer without a PUBACK is sent again after the next handshake',
    '4',
  ),
  rule(
    'unacknowledged-answer-after-restart',
    'What a client must do',
    'an answer without a PUBACK is sent again after it was killed and started again',
    '4',
  ),
  rule(
    'puback-error',
    'Connecting',
    'an answer whose PUBACK is an error is sent again after the next handshake, not before',
  ),
  rule(
    'puback-no-subscribers',
    'Connecting',
    'in MQTT 5, an answer whose PUBACK is 0x10 is sent again after a pause, and after the next handshake',
  ),
  rule('ignores', 'What a client must do', 'it ignores unknown types and members, and what is not JSON', '7'),
  rule(
    'handshake-error',
    'handshake-error',
    'it says goodbye, waits for retry_after, and sends a handshake with a new id',
    '2 to 4',
  ),
  rule('handshake-error-never', 'handshake-error', 'with retry_after `never` it stays away', '3'),
  rule(
    'handshake-error-pause',
    'handshake-error',
    'without retry_after it pauses for at least 1 second, and tries again',
    '3',
  ),
  rule('late-handshake-error', 'handshake-error', 'it ignores one about another message than its last handshake', '1'),
  rule('force-disconnect', 'force-disconnect', 'it says goodbye, waits for reconnect_after, and comes back'),
  rule(
    'force-disconnect-time',
    'force-disconnect',
    'it reads reconnect_after as an RFC 3339 timestamp too, and counts it from `sent`',
  ),
  rule('force-disconnect-long', 'force-disconnect', 'it stays away for `P2W` and `P1DT12H`'),
  rule(
    'force-disconnect-unreadable',
    'force-disconnect',
    'with a reconnect_after that it cannot read it says goodbye, and comes back after a pause',
  ),
  rule('force-disconnect-never', 'force-disconnect', 'it stays away for `never`'),
  rule(
    'goodbye',
    'What a client must do',
    'on SIGTERM it says goodbye, waits for its PUBACKs, disconnects and ends',
    '6',
  ),
  rule('ends-while-away', 'What a client must do', 'on SIGTERM it ends also while it waits to reconnect', '6'),
];

/** Where docs/protocol.md has it. @param {Rule} rule */
export function placeOf({ section, number }) {
  return `"${section}"${number === undefined ? '' : `, ${number}`}`;
}

/** @param {string} id @param {string} section @param {string} text @param {string} [number] @returns {Rule} */
function rule(id, section, text, number) {
  return { id, section, text, ...(number !== undefined && { number }) };
}
