import fc from 'fast-check';
import type { IntakePacket } from '@app/broker';
import { TopicTemplate } from '@app/protocol';
import { decodeMailboxEntry, type Packet } from '@app/registry';
import { senderOf, toMailboxItem, toThrottledItem, type Sender } from './mailbox-writer.js';

const STATUS = new TopicTemplate('redhat/insights/status/{clientId}');
const IN = new TopicTemplate('redhat/insights/in/{clientId}');
const TEMPLATES = [STATUS, IN];
const MAX_BYTES = 2048;

function received(payload: string | Buffer, given: Partial<IntakePacket> = {}): IntakePacket {
  return {
    topic: 'redhat/insights/in/host-1',
    payload: Buffer.from(payload),
    retain: false,
    dup: false,
    packetId: 7,
    ...given,
  };
}

function knownSenderOf({ topic }: IntakePacket): Sender {
  const sender = senderOf(topic, TEMPLATES);
  if (sender === undefined) throw new Error('the packet was dropped');
  return sender;
}

/** What the shard's owner reads from its mailbox. */
function written(packet: IntakePacket, lane = 0, maxBytes = MAX_BYTES): Packet {
  const item = toMailboxItem(packet, knownSenderOf(packet), lane, maxBytes, true);
  const message = decodeMailboxEntry({ id: '1700000000000-0', text: item.text });
  if (message.kind !== 'packet') throw new Error('the packet became a command');
  const { at, ...packetAgain } = message;
  expect(at).toBe(1_700_000_000_000);
  return packetAgain;
}

describe('toMailboxItem', () => {
  it('keeps lane, topic, flags and payload of a packet', () => {
    expect(written(received('{"type":"offline"}'), 3)).toEqual({
      id: '1700000000000-0',
      kind: 'packet',
      clientId: 'host-1',
      lane: 3,
      topic: 'redhat/insights/in/{clientId}',
      retain: false,
      dup: false,
      body: '{"type":"offline"}',
    });
  });

  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('keeps the flags retain %s and DUP %s', (retain, dup) => {
    expect(written(received('x', { retain, dup }))).toMatchObject({ retain, dup });
  });

  it('names the template of the topic, whichever of the list it is', () => {
    expect(written(received('x', { topic: 'redhat/insights/status/host-1' }))).toMatchObject({
      clientId: 'host-1',
      topic: STATUS.template,
    });
    expect(written(received('x', { topic: 'redhat/insights/in/host-2' }))).toMatchObject({
      clientId: 'host-2',
      topic: IN.template,
    });
  });

  it('keeps an empty payload, which removes a handshake', () => {
    const packet = written(received('', { retain: true }));
    expect(packet).toMatchObject({ body: '', retain: true });
    expect(packet).not.toHaveProperty('refused');
  });

  it.each([
    ['of another template', 'redhat/insights/out/host-1'],
    ['without a client id', 'redhat/insights/in/'],
    ['with two levels for a client id', 'redhat/insights/in/host-1/x'],
    ['with a control character in the client id', 'redhat/insights/in/host\u0001'],
    ['with a client id too long', `redhat/insights/in/${'a'.repeat(257)}`],
  ])('finds no sender for a topic %s', (_, topic) => {
    expect(senderOf(topic, TEMPLATES)).toBeUndefined();
  });

  it('finds no sender if there is no template', () => {
    expect(senderOf(received('x').topic, [])).toBeUndefined();
  });

  it('passes on a payload of the largest size, and a sample of one that is a byte larger', () => {
    const largest = 'é'.repeat(MAX_BYTES / 2);
    const packet = written(received(largest));
    expect(packet.body).toBe(largest);
    expect(packet).not.toHaveProperty('refused');
    expect(written(received(`${largest}a`))).toMatchObject({ refused: 'too-large' });
    expect(written(received('a'.repeat(MAX_BYTES + 1))).body).toBe('a'.repeat(1024));
  });

  it('marks a payload that is not UTF-8, and keeps a sample of its bytes', () => {
    const packet = written(received(Buffer.from([0x7b, 0xff, 0xfe, 0x00])));
    expect(packet).toMatchObject({ refused: 'not-utf8', body: '{\u00ff\u00fe\0' });
    expect(written(received(Buffer.alloc(MAX_BYTES, 0xff))).body).toBe('\u00ff'.repeat(1024));
  });

  it.each([
    ['an overlong form', [0xc0, 0x80]],
    ['an encoded surrogate', [0xed, 0xa0, 0x80]],
    ['a character cut in two', [0xc3]],
    ['a character beyond Unicode', [0xf5, 0x80, 0x80, 0x80]],
  ])('marks %s as not UTF-8', (_, bytes) => {
    expect(written(received(Buffer.from(bytes))).refused).toBe('not-utf8');
  });

  it('marks a payload that is both too large and not UTF-8 as too large', () => {
    expect(written(received(Buffer.alloc(MAX_BYTES + 1, 0xff))).refused).toBe('too-large');
  });

  it('carries any text unchanged through the mailbox', () => {
    const character = fc
      .integer({ min: 0, max: 0x10_ffff - 0x800 })
      .map((code) => String.fromCodePoint(code < 0xd800 ? code : code + 0x800));
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 200 }), (body) => {
        const packet = written(received(body));
        expect(packet.body).toBe(body);
        expect(packet).not.toHaveProperty('refused');
      }),
      { numRuns: 200 },
    );
  });

  it('marks exactly the payloads above the limit as too large, whatever their bytes and topic', () => {
    const topic = fc.constantFrom('redhat/insights/in/a', 'redhat/insights/status/a');
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        topic,
        fc.nat({ max: 64 }),
        fc.nat({ max: 64 }),
        (bytes, on, max, lane) => {
          const packet = written(received(Buffer.from(bytes), { topic: on }), lane, max);
          expect(packet.lane).toBe(lane);
          expect(packet.refused === 'too-large').toBe(bytes.length > max);
          if (packet.refused === undefined) expect(Buffer.from(packet.body)).toEqual(Buffer.from(bytes));
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('the delivery name of an item', () => {
  const nameOf = (given: Partial<IntakePacket> = {}, payload = 'x'): string | undefined => {
    const packet = received(payload, given);
    return toMailboxItem(packet, knownSenderOf(packet), 0, MAX_BYTES, true).delivery;
  };

  it('is the same for a redelivery', () => {
    expect(nameOf({ dup: true })).toBe(nameOf());
    expect(nameOf()).toMatch(/^7\.[0-9a-z]+$/);
  });

  it('is another one for another packet id, topic or payload', () => {
    const names = [nameOf(), nameOf({ packetId: 8 }), nameOf({ topic: 'redhat/insights/in/host-2' }), nameOf({}, 'y')];
    expect(new Set(names).size).toBe(names.length);
  });

  it('is empty at QoS 0, since such a packet is never redelivered', () => {
    expect(nameOf({ packetId: undefined })).toBe('');
  });

  it('is empty for a throttling notice, so that the limit is applied again to a redelivery', () => {
    const packet = received('é'.repeat(2000), { dup: true });
    const item = toThrottledItem(packet, knownSenderOf(packet), 'too many');
    expect(item).toMatchObject({ delivery: '', isRedelivery: false });
    const sample = Buffer.from('é'.repeat(512)).toString('latin1');
    expect(decodeMailboxEntry({ id: '1700000000000-0', text: item.text })).toMatchObject({
      kind: 'command',
      clientId: 'host-1',
      command: { do: 'throttled', topic: IN.template, sample, details: 'too many' },
    });
  });
});
