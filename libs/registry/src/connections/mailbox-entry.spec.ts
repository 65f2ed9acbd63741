import {
  decodeMailboxEntry,
  encodeCommand,
  encodePacket,
  encodeRetainedReading,
  mailboxEntryParts,
  type CommandMessage,
  type Packet,
  type RetainedReading,
} from './mailbox-entry.js';

const ID = '1700000000000-3';
const DATED = { id: ID, at: 1_700_000_000_000 };
const STATUS = 'redhat/insights/status/{clientId}';

// 0.1.0 stored the same texts: this release has to read what 0.1.0 left in a mailbox.

describe('a packet in a mailbox', () => {
  const packet = { clientId: 'host-1', lane: 3, topic: STATUS, retain: true, dup: false } as const;

  it.each<[string, Omit<Packet, 'kind'>]>([
    [`packet 3 r- ${STATUS}\nhost-1\n{"type":"offline"}`, { ...packet, body: '{"type":"offline"}' }],
    [`packet 0 -d ${STATUS}\nü😀 x\n`, { ...packet, clientId: 'ü😀 x', lane: 0, retain: false, dup: true, body: '' }],
    [`packet 3 ?- ${STATUS}\nhost-1\n{}`, { ...packet, retain: false, mayBeRetained: true, body: '{}' }],
    [`packet 12 rd ${STATUS}\nhost-1\n\n{\n\n}\n`, { ...packet, lane: 12, dup: true, body: '\n{\n\n}\n' }],
    [`too-large 3 r- ${STATUS}\nhost-1\nsample`, { ...packet, body: 'sample', refused: 'too-large' }],
    [`not-utf8 3 r- ${STATUS}\nhost-1\n{\u00ff`, { ...packet, body: '{\u00ff', refused: 'not-utf8' }],
  ])('is stored and read as %j', (text, message) => {
    expect(encodePacket(message)).toBe(text);
    expect(decodeMailboxEntry({ id: ID, text })).toEqual({ kind: 'packet', ...message, ...DATED });
  });
});

describe('a command in a mailbox', () => {
  const reply = { channel: 'replies', id: 'r-1' };

  it.each<[string, Omit<CommandMessage, 'kind'>]>([
    ['command\nhost-1\n{"command":{"do":"lift-refusal"}}', { clientId: 'host-1', command: { do: 'lift-refusal' } }],
    [
      'command\nhost-1\n{"command":{"do":"force-disconnect","reconnect_after":"PT0S"},"reply":{"channel":"replies","id":"r-1"},"within":"acme"}',
      { clientId: 'host-1', command: { do: 'force-disconnect', reconnect_after: 'PT0S' }, reply, account: 'acme' },
    ],
  ])('is stored and read as %j', (text, message) => {
    expect(encodeCommand(message)).toBe(text);
    expect(decodeMailboxEntry({ id: ID, text })).toEqual({ kind: 'command', ...message, ...DATED });
  });

  it.each([
    ['{"do":"tell"}', { do: 'flush' }],
    ['{"do":"cut","topic":"t","sample":"s","details":"d"}', { do: 'throttled', topic: 't', sample: 's', details: 'd' }],
    ['{"do":"verify","reason":"flood"}', { do: 'verify', reason: 'throttled' }],
  ])('is read under its current name if 0.1.0 stored it as %s', (stored, command) => {
    const text = `command\nhost-1\n{"command":${stored}}`;
    expect(decodeMailboxEntry({ id: ID, text })).toEqual({ kind: 'command', clientId: 'host-1', command, ...DATED });
  });
});

describe('a reading of retained messages in a mailbox', () => {
  const retained = [{ topic: STATUS, body: '{"a":"\\n"}' }];
  const json = JSON.stringify(retained);

  it.each<[string, Omit<RetainedReading, 'kind'>]>([
    ['verified 7 - -\nhost-1\n[]', { clientId: 'host-1', attempt: '7', retained: [] }],
    [`verified 7 sweep-1 -\nhost-1\n${json}`, { clientId: 'host-1', attempt: '7', retained, sweep: 'sweep-1' }],
    [
      `verified - sweep-1 5-0\nhost-1\n${json}`,
      { clientId: 'host-1', attempt: '', retained, sweep: 'sweep-1', noted: '5-0' },
    ],
    [
      `verified confirmed sweep-1 5-0\nhost-1\n${json}`,
      { clientId: 'host-1', attempt: '', retained, sweep: 'sweep-1', noted: '5-0', isConfirmed: true },
    ],
  ])('is stored and read as %j', (text, message) => {
    expect(encodeRetainedReading(message)).toBe(text);
    expect(decodeMailboxEntry({ id: ID, text })).toEqual({ kind: 'verified', ...message, ...DATED });
  });
});

describe('a mailbox entry that no release has written', () => {
  it.each(['from the future\na\nx', 'packet x r- t\na\nx', 'command\na\n{broken'])('is rejected: %j', (text) => {
    expect(() => decodeMailboxEntry({ id: ID, text })).toThrow();
    expect(mailboxEntryParts(text).clientId).toBe('a');
  });
});
