/** Reads what a device has published, and says what is wrong with it. */

/** @typedef {import('mqtt-packet').Packet} Packet */

/** @param {Packet} packet @returns {Record<string, any>} the message; an empty object if it is none */
export function textOf(packet) {
  if (packet.cmd !== 'publish') return {};
  try {
    const value = JSON.parse(packet.payload.toString());
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** For a report. @param {Packet} packet */
export function nameOf(packet) {
  if (packet.cmd !== 'publish') return packet.cmd.toUpperCase();
  return `${textOf(packet).type ?? 'a message without a type'} (QoS ${packet.qos})`;
}

/** What is wrong with `sent`, if that is refused. @param {Packet} packet @param {string} details */
function faultOfSent(packet, details) {
  if (!/\bsent: /.test(details)) return '';
  const { sent } = textOf(packet);
  const hasOffset = /(Z|[+-]\d\d:\d\d)$/.test(String(sent));
  return `; sent is ${JSON.stringify(sent)}${hasOffset ? '' : ': an offset is missing (Z or +02:00)'}`;
}

/** @param {Record<string, any>} message */
export function isHandshake({ type }) {
  return type === 'host-handshake' || type === 'proxy-handshake';
}

/** @param {Record<string, any>} message */
export function isAnswer({ type }) {
  return type === 'message-response' || type === 'message-error';
}

/** Whether a retained message takes the client offline. @param {Packet} packet */
export function isGoodbye(packet) {
  return packet.cmd === 'publish' && (packet.payload.length === 0 || textOf(packet).type === 'offline');
}

/**
 * @param {Packet} packet @param {typeof import('../../libs/protocol/src/index.js')} protocol
 * @returns {string | undefined} why the service refuses the message in it
 */
export function refusalOf(packet, protocol) {
  if (packet.cmd !== 'publish' || (packet.payload.length === 0 && packet.retain)) return undefined;
  const text = packet.payload.toString();
  const parsed = protocol.parseInbound(text);
  if (parsed.ok) return undefined;
  const { reason, details } = parsed.refusal;
  return `${shortNameOf(packet)} is refused as ${reason}: ${details}${faultOfSent(packet, details)}`;
}

/** @param {import('mqtt-packet').IPublishPacket} packet */
function shortNameOf(packet) {
  const { type } = textOf(packet);
  return type === undefined ? `a message (${packet.payload.toString().slice(0, 60)})` : `a ${type}`;
}

/**
 * @param {Packet} packet
 * @param {string} inTopic
 * @param {typeof import('../../libs/protocol/src/index.js')} protocol
 * @param {Map<string, string>} seen the texts so far by their ids: only an answer may come again, unchanged
 * @returns {string | undefined} what is wrong with it
 */
export function publishFault(packet, inTopic, protocol, seen) {
  if (packet.cmd !== 'publish') return undefined;
  const text = packet.payload.toString();
  const message = textOf(packet);
  const { type, message_id: id } = message;
  const what = shortNameOf(packet);
  if (packet.topic !== inTopic) return `${what} came on ${packet.topic}; the in topic is ${inTopic}`;
  if (packet.qos !== 1) return `${what} came at QoS ${packet.qos}`;
  if (text === '' && packet.retain) return undefined;
  const refusal = refusalOf(packet, protocol);
  if (refusal !== undefined) return refusal;
  if (packet.retain && !isHandshake(message) && type !== 'offline') return `${what} is retained`;
  const before = seen.get(id);
  if (before !== undefined && !(isAnswer(message) && before === text)) return `two messages have the message_id ${id}`;
  seen.set(id, text);
  return undefined;
}
