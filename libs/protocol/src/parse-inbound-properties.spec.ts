import fc from 'fast-check';
import { HOST, OFFLINE, anyText, validEnvelope } from '../../../test/support/envelopes.js';
import { INBOUND_SCHEMAS } from './inbound.js';
import { REFUSAL_REASONS, parseInbound, type ParseOutcome } from './parse-inbound.js';

const TYPES = Object.keys(INBOUND_SCHEMAS);

describe('parseInbound', () => {
  it('returns every valid message unchanged, including unknown members', () => {
    fc.assert(
      fc.property(validEnvelope(), (envelope) => {
        const text = JSON.stringify(envelope);
        const outcome = parseInbound(text);
        if (!outcome.ok) throw new Error(outcome.refusal.details);
        expect(JSON.stringify(outcome.message)).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps unknown facts, also one that is named "__proto__"', () => {
    const facts = '{"fqdn":"host-1","rhel":{"version":[9,4]},"__proto__":{"a":1},"constructor":null}';
    const text = JSON.stringify(HOST).replace('{"fqdn":"host-1"}', facts);
    const outcome = parseInbound(text);
    expect(outcome.ok && JSON.stringify(outcome.message)).toBe(text);
  });

  it('never throws, and gives a message or a refusal of the declared type for any text', () => {
    fc.assert(
      fc.property(anyText(), (text) => {
        expectDeclaredOutcome(parseInbound(text));
      }),
      { numRuns: 1500 },
    );
  });

  it.each([
    ['a million open arrays', '['.repeat(1_000_000)],
    ['a deep array', `${'['.repeat(200_000)}${']'.repeat(200_000)}`],
    ['a deep member of an unknown type', `{"a":${'{"a":'.repeat(200_000)}1${'}'.repeat(200_001)}`],
    [
      'a deep member of a handshake',
      JSON.stringify(HOST).replace('"host-1"', `${'['.repeat(200_000)}${']'.repeat(200_000)}`),
    ],
    [
      'numbers beyond all bounds',
      JSON.stringify(HOST).replace('"version":1', `"version":1e99999,"n":-1e99999,"m":${'9'.repeat(5000)}`),
    ],
    ['a lone surrogate in the id', JSON.stringify({ ...OFFLINE, message_id: '\ud800' })],
    ['a lone surrogate as a key', JSON.stringify({ ...OFFLINE, '\udfff': '\ud800' })],
    ['members named as those of every object', '{"type":"offline","__proto__":null,"toString":1,"hasOwnProperty":2}'],
    ['the same member twice', '{"type":"host-handshake","type":{"a":1}}'],
  ])('gives a message or a refusal of the declared type for %s', (_, text) => {
    expectDeclaredOutcome(parseInbound(text));
  });

  it('recognizes a handshake by its type, whatever else is wrong with it', () => {
    const type = fc.constantFrom(...TYPES, 'other');
    fc.assert(
      fc.property(type, fc.dictionary(fc.constantFrom('version', 'payload', 'sent'), fc.jsonValue()), (name, rest) => {
        const outcome = parseInbound(JSON.stringify({ ...rest, type: name }));
        if (outcome.ok) throw new Error(`accepted: ${JSON.stringify(outcome.message)}`);
        expect(outcome.refusal.handshake).toBe(name.endsWith('-handshake'));
      }),
    );
  });
});

function expectDeclaredOutcome(outcome: ParseOutcome): void {
  if (outcome.ok) {
    expect(Object.keys(outcome).sort()).toEqual(['message', 'ok']);
    expect(TYPES).toContain(outcome.message.type);
    expect(outcome.message.version).toBe(1);
    expect(typeof outcome.message.message_id).toBe('string');
    return;
  }
  expect(Object.keys(outcome).sort()).toEqual(['ok', 'refusal']);
  const { reason, details, messageId, handshake, answerTo = 'x' } = outcome.refusal;
  expect(answerTo.length >= 1 && answerTo.length <= 128).toBe(true);
  expect(REFUSAL_REASONS).toContain(reason);
  expect(details).not.toBe('');
  expect(messageId === null || (messageId.length >= 1 && messageId.length <= 128)).toBe(true);
  expect(typeof handshake).toBe('boolean');
}
