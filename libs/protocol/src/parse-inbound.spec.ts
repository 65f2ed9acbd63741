import fc from 'fast-check';
import type { Inbound } from './inbound.js';
import { MAX_DEPTH, parseInbound, type ParseOutcome, type Refusal, type RefusalReason } from './parse-inbound.js';

/** Any Unicode character, surrogates left out. */
const character = fc
  .integer({ min: 0, max: 0x10_ffff - 0x800 })
  .map((code) => String.fromCodePoint(code < 0xd800 ? code : code + 0x800));

/** Complete by its type: a reason that is added must be added here. */
const REASONS: Record<RefusalReason, true> = {
  empty: true,
  'too-large': true,
  'not-utf8': true,
  'not-json': true,
  'too-deep': true,
  'wrong-shape': true,
  'unknown-type': true,
  'unsupported-version': true,
  'not-retained': true,
  'wrong-topic': true,
  'refused-until': true,
  'reserved-id': true,
  flood: true,
  'internal-error': true,
};

const ENVELOPE = { message_id: 'm-1', version: 1, sent: '2020-12-04T17:22:24+00:00' };
const HOST = { ...ENVELOPE, type: 'host-handshake', payload: { canonical_facts: { fqdn: 'host-1' } } };
const PROXY = {
  ...ENVELOPE,
  type: 'proxy-handshake',
  payload: { catalog_service_facts: { source_type: 'tower', application_type: 'catalog' } },
};
const OFFLINE = { ...ENVELOPE, type: 'offline' };
const MESSAGE_ERROR = { ...ENVELOPE, type: 'message-error', in_response_to: 'm-0', payload: { details: 'no disk' } };

function parse(value: unknown): ParseOutcome {
  return parseInbound(JSON.stringify(value));
}

function refusalOf(value: unknown): Refusal {
  return refused(parse(value));
}

function refused(outcome: ParseOutcome): Refusal {
  if (outcome.ok) throw new Error(`accepted: ${JSON.stringify(outcome.message)}`);
  return outcome.refusal;
}

describe('parseInbound accepts', () => {
  it('the handshake of the protocol', () => {
    const text = `{"type":"host-handshake","message_id":"3a57b1ad-5163-47ee-9e57-3bb6d90bdfff","version":1,"sent":"2020-12-04T17:22:24+00:00",
     "payload":{"canonical_facts":{"insights_id":"cabb61b6-e61d-4d70-b475-01f5c009e93c","machine_id":"3fb0c7be-89cb-4f19-84b7-94448f40f769",
      "bios_uuid":"3fb0c7be-89cb-4f19-84b7-94448f40f769","subscription_manager_id":"63a12856-a262-4e1e-b562-c099a735ca76",
      "ip_addresses":["192.168.122.162"],"mac_addresses":["52:54:00:66:ea:9a","00:00:00:00:00:00"],"fqdn":"ic-rhel8-dev-thelio"}}}`;
    expect(parseInbound(text)).toEqual({ ok: true, message: JSON.parse(text) as unknown });
  });

  it.each([
    ['a host handshake', HOST],
    ['a proxy handshake', PROXY],
    ['an offline', OFFLINE],
    ['an offline with a payload nobody asked for', { ...OFFLINE, payload: 7 }],
    ['a message-error', MESSAGE_ERROR],
    ['a message-error without words', { ...MESSAGE_ERROR, payload: { details: '' } }],
    ['a message_id of one character', { ...OFFLINE, message_id: 'x' }],
    ['a message_id of 128 characters', { ...OFFLINE, message_id: 'x'.repeat(128) }],
    ['a time in UTC', { ...OFFLINE, sent: '2020-12-04T17:22:24Z' }],
    ['a time with a fraction and an offset', { ...OFFLINE, sent: '2020-12-04T17:22:24.123456789-05:30' }],
    ['empty facts that are there', { ...HOST, payload: { canonical_facts: { ip_addresses: [] } } }],
  ])('%s', (_, value) => {
    expect(parse(value)).toEqual({ ok: true, message: value });
  });

  it.each(['insights_id', 'machine_id', 'bios_uuid', 'subscription_manager_id', 'fqdn'])(
    '%s as the only fact',
    (fact) => {
      expect(parse({ ...HOST, payload: { canonical_facts: { [fact]: 'x' } } }).ok).toBe(true);
    },
  );

  it.each(['ip_addresses', 'mac_addresses'])('%s as the only fact', (fact) => {
    expect(parse({ ...HOST, payload: { canonical_facts: { [fact]: ['x'] } } }).ok).toBe(true);
  });

  it('spaces around the object', () => {
    expect(parseInbound(` \r\n\t${JSON.stringify(OFFLINE)}\n`).ok).toBe(true);
  });

  it('exactly MAX_DEPTH levels, the envelope being the first', () => {
    expect(parse({ ...OFFLINE, extra: arrays(MAX_DEPTH - 1) }).ok).toBe(true);
  });
});

describe('parseInbound refuses', () => {
  it('an empty message, saying what an empty one is for', () => {
    expect(parseInbound('')).toEqual({
      ok: false,
      refusal: {
        reason: 'empty',
        details: 'the message is empty; only a retained message may be, to remove a handshake',
        messageId: null,
        handshake: false,
      },
    });
  });

  it.each(['offline', ' ', '{', '{"type":"offline",}', '{}{}', "{'a':1}", 'NaN', '{"a":1e}', '\ufeff{}', '\ud800'])(
    '%j as not JSON',
    (text) => {
      expect(parseInbound(text)).toEqual({
        ok: false,
        refusal: {
          reason: 'not-json',
          details: 'the message is not JSON; a JSON object is expected',
          messageId: null,
          handshake: false,
        },
      });
    },
  );

  it.each(['null', 'true', '1', '"offline"', '[]', '[{"type":"offline"}]'])('%s as no object', (text) => {
    expect(parseInbound(text)).toEqual({
      ok: false,
      refusal: {
        reason: 'wrong-shape',
        details: 'the message must be a JSON object',
        messageId: null,
        handshake: false,
      },
    });
  });

  it.each([
    undefined,
    null,
    1,
    ['offline'],
    '',
    'Offline',
    'message',
    'handshake-error',
    '__proto__',
    'toString',
    'constructor',
    'hasOwnProperty',
  ])('the type %j as unknown, naming the known ones', (type) => {
    expect(refusalOf({ ...OFFLINE, type })).toEqual({
      reason: 'unknown-type',
      details: 'type must be one of host-handshake, proxy-handshake, offline, message-error',
      messageId: 'm-1',
      handshake: false,
    });
  });

  it.each([undefined, null, 0, 2, 1.5, '1', [1], true])('the version %j', (version) => {
    expect(refusalOf({ ...HOST, version })).toEqual({
      reason: 'unsupported-version',
      details: 'version must be 1',
      messageId: 'm-1',
      handshake: true,
    });
    expect(refusalOf({ ...OFFLINE, version }).handshake).toBe(false);
  });

  it('more than MAX_DEPTH levels, in any member', () => {
    const refusal = { reason: 'too-deep', details: 'the message nests deeper than 32 levels', messageId: 'm-1' };
    expect(refusalOf({ ...OFFLINE, extra: arrays(MAX_DEPTH) })).toEqual({ ...refusal, handshake: false });
    const facts = { fqdn: 'host-1', extra: arrays(MAX_DEPTH - 2) };
    expect(refusalOf({ ...HOST, payload: { canonical_facts: facts } })).toEqual({ ...refusal, handshake: true });
  });

  it.each([
    ['no message_id', { ...HOST, message_id: undefined }, 'message_id: ', null],
    ['an empty message_id', { ...HOST, message_id: '' }, 'message_id: ', null],
    ['a message_id of 129 characters', { ...HOST, message_id: 'x'.repeat(129) }, 'message_id: ', null],
    ['a message_id that is no string', { ...HOST, message_id: 7 }, 'message_id: ', null],
    ['no time', { ...HOST, sent: undefined }, 'sent: ', 'm-1'],
    ['a time without offset', { ...HOST, sent: '2020-12-04T17:22:24' }, 'sent: ', 'm-1'],
    ['a day that is none', { ...HOST, sent: '2020-02-30T17:22:24Z' }, 'sent: ', 'm-1'],
    ['a time in seconds', { ...HOST, sent: 1607102544 }, 'sent: ', 'm-1'],
    ['no payload', { ...HOST, payload: undefined }, 'payload: ', 'm-1'],
    ['no facts', { ...HOST, payload: {} }, 'payload.canonical_facts: ', 'm-1'],
    ['facts that are a list', { ...HOST, payload: { canonical_facts: [] } }, 'payload.canonical_facts: ', 'm-1'],
    [
      'a fact of the wrong type',
      { ...HOST, payload: { canonical_facts: { fqdn: 7 } } },
      'payload.canonical_facts.fqdn: ',
      'm-1',
    ],
    [
      'a fact that is null',
      { ...HOST, payload: { canonical_facts: { fqdn: 'host-1', machine_id: null } } },
      'payload.canonical_facts.machine_id: ',
      'm-1',
    ],
    [
      'an address that is no string',
      { ...HOST, payload: { canonical_facts: { ip_addresses: ['10.0.0.1', 7] } } },
      'payload.canonical_facts.ip_addresses.1: ',
      'm-1',
    ],
    ["a proxy's facts in a host's handshake", { ...HOST, payload: PROXY.payload }, 'payload.canonical_facts: ', 'm-1'],
    [
      'a proxy without source_type',
      { ...PROXY, payload: { catalog_service_facts: { application_type: 'a' } } },
      'payload.catalog_service_facts.source_type: ',
      'm-1',
    ],
    [
      'a proxy with an empty application_type',
      { ...PROXY, payload: { catalog_service_facts: { source_type: 's', application_type: '' } } },
      'payload.catalog_service_facts.application_type: ',
      'm-1',
    ],
  ])('a handshake with %s, naming the member', (_, value, start, messageId) => {
    const { details, ...refusal } = refusalOf(value);
    expect(refusal).toEqual({ reason: 'wrong-shape', messageId, handshake: true });
    expect(details.startsWith(start)).toBe(true);
    expect(details.length).toBeGreaterThan(start.length);
  });

  it('facts none of which is known, naming those that are', () => {
    const known = 'insights_id, machine_id, bios_uuid, subscription_manager_id, fqdn, ip_addresses, mac_addresses';
    for (const facts of [{}, { rhel_version: '9' }]) {
      expect(refusalOf({ ...HOST, payload: { canonical_facts: facts } }).details).toBe(
        `payload.canonical_facts: must have at least one of ${known}`,
      );
    }
  });

  it('a known fact that is only inherited through a "__proto__" member', () => {
    const text = JSON.stringify(HOST).replace('{"fqdn":"host-1"}', '{"__proto__":{"fqdn":"host-1"}}');
    expect(refused(parseInbound(text))).toMatchObject({ reason: 'wrong-shape', handshake: true });
  });

  it.each([
    ['without in_response_to', { ...MESSAGE_ERROR, in_response_to: undefined }, 'in_response_to: '],
    ['with an empty in_response_to', { ...MESSAGE_ERROR, in_response_to: '' }, 'in_response_to: '],
    ['with an in_response_to too long', { ...MESSAGE_ERROR, in_response_to: 'x'.repeat(129) }, 'in_response_to: '],
    ['without details', { ...MESSAGE_ERROR, payload: {} }, 'payload.details: '],
    ['with details that are no string', { ...MESSAGE_ERROR, payload: { details: {} } }, 'payload.details: '],
  ])('a message-error %s', (_, value, start) => {
    const refusal = refusalOf(value);
    expect(refusal).toMatchObject({ reason: 'wrong-shape', messageId: 'm-1', handshake: false });
    expect(refusal.details.startsWith(start)).toBe(true);
  });

  it('many things at once, naming three of them and the number of the rest', () => {
    const facts = { ip_addresses: Array.from({ length: 50_000 }, () => 1) };
    const { details } = refusalOf({ ...HOST, payload: { canonical_facts: facts } });
    const lines = details.split('; ');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^payload\.canonical_facts\.ip_addresses\.0: /);
    expect(lines[3]).toBe('and 49997 more');
  });
});

describe('parseInbound', () => {
  it('gives every valid envelope back as it came, members it does not know included', () => {
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

  it('keeps unknown facts, even one named "__proto__"', () => {
    const facts = '{"fqdn":"host-1","rhel":{"version":[9,4]},"__proto__":{"a":1},"constructor":null}';
    const text = JSON.stringify(HOST).replace('{"fqdn":"host-1"}', facts);
    const outcome = parseInbound(text);
    expect(outcome.ok && JSON.stringify(outcome.message)).toBe(text);
  });

  it('never throws, and answers any text with an envelope or a refusal of the declared kind', () => {
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
  ])('survives %s', (_, text) => {
    expectDeclaredOutcome(parseInbound(text));
  });

  it('knows a handshake by its type, whatever else is wrong with it', () => {
    const type = fc.constantFrom('host-handshake', 'proxy-handshake', 'offline', 'message-error', 'other');
    fc.assert(
      fc.property(type, fc.dictionary(fc.constantFrom('version', 'payload', 'sent'), fc.jsonValue()), (name, rest) => {
        const outcome = parse({ ...rest, type: name });
        expect(refused(outcome).handshake).toBe(name.endsWith('-handshake'));
      }),
    );
  });
});

function expectDeclaredOutcome(outcome: ParseOutcome): void {
  if (outcome.ok) {
    expect(Object.keys(outcome).sort()).toEqual(['message', 'ok']);
    expect(['host-handshake', 'proxy-handshake', 'offline', 'message-error']).toContain(outcome.message.type);
    expect(outcome.message.version).toBe(1);
    expect(typeof outcome.message.message_id).toBe('string');
    return;
  }
  expect(Object.keys(outcome).sort()).toEqual(['ok', 'refusal']);
  const { reason, details, messageId, handshake } = outcome.refusal;
  expect(Object.hasOwn(REASONS, reason)).toBe(true);
  expect(details).not.toBe('');
  expect(messageId === null || (messageId.length >= 1 && messageId.length <= 128)).toBe(true);
  expect(typeof handshake).toBe('boolean');
}

function arrays(levels: number): unknown {
  let value: unknown = [];
  for (let i = 1; i < levels; i++) value = [value];
  return value;
}

/** Valid envelopes of all four types, each with members that no schema knows, at every level that allows them. */
function validEnvelope(): fc.Arbitrary<Record<string, unknown>> {
  const text = fc.string({ unit: character, maxLength: 20 });
  const name = fc.string({ unit: character, minLength: 1, maxLength: 20 });
  const id = fc.oneof(fc.uuid(), fc.string({ minLength: 1, maxLength: 128 }), name);
  const sent = fc
    .date({ noInvalidDate: true, min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z') })
    .chain((date) =>
      fc.constantFrom('Z', '+00:00', '-11:30', '+14:00').map((offset) => date.toISOString().replace('Z', offset)),
    );
  const extra = fc.dictionary(
    fc.oneof(
      fc.constantFrom('__proto__', 'constructor', 'toString', 'extra'),
      text.map((key) => `x${key}`),
    ),
    fc.jsonValue({ maxDepth: 3 }),
    { maxKeys: 3 },
  );
  const withExtra = (members: fc.Arbitrary<object>): fc.Arbitrary<Record<string, unknown>> =>
    fc.tuple(extra, members).map(([unknown, known]) => ({ ...unknown, ...known }));
  const canonicalFacts = withExtra(
    fc
      .record(
        {
          insights_id: text,
          machine_id: text,
          bios_uuid: text,
          subscription_manager_id: text,
          fqdn: text,
          ip_addresses: fc.array(text, { maxLength: 3 }),
          mac_addresses: fc.array(text, { maxLength: 3 }),
        },
        { requiredKeys: [] },
      )
      .filter((facts) => Object.keys(facts).length > 0),
  );
  const serviceFacts = withExtra(fc.record({ source_type: name, application_type: name }));
  const envelope = { message_id: id, version: fc.constant(1), sent };
  return fc.oneof(
    withExtra(
      fc.record({
        type: fc.constant('host-handshake'),
        ...envelope,
        payload: withExtra(fc.record({ canonical_facts: canonicalFacts })),
      }),
    ),
    withExtra(
      fc.record({
        type: fc.constant('proxy-handshake'),
        ...envelope,
        payload: withExtra(fc.record({ catalog_service_facts: serviceFacts })),
      }),
    ),
    withExtra(fc.record({ type: fc.constant('offline'), ...envelope })),
    withExtra(
      fc.record({
        type: fc.constant('message-error'),
        ...envelope,
        in_response_to: id,
        payload: withExtra(fc.record({ details: text })),
      }),
    ),
  );
}

/** Text of every kind a broker can deliver, the nearly valid above all. */
function anyText(): fc.Arbitrary<string> {
  const units = fc.array(fc.nat({ max: 0xffff }), { maxLength: 50 }).map((codes) => String.fromCharCode(...codes));
  const bytes = fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array).toString('latin1'));
  const valid = validEnvelope();
  const types: Inbound['type'][] = ['host-handshake', 'proxy-handshake', 'offline', 'message-error'];
  const member = fc.constantFrom('type', 'message_id', 'version', 'sent', 'payload', 'in_response_to', '__proto__');
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(...types),
    units,
    fc.integer({ min: 1, max: 60 }).map(arrays),
    fc.constantFrom(1e308, -0, 2 ** 53, {}, [], { canonical_facts: { __proto__: null } }),
  );
  const replaced = fc
    .tuple(valid, member, odd)
    .map(([envelope, key, value]) => JSON.stringify({ ...envelope, ...Object.fromEntries([[key, value]]) }));
  const nested = fc
    .tuple(valid, fc.constantFrom('canonical_facts', 'catalog_service_facts', 'details'), odd)
    .map(([envelope, key, value]) => JSON.stringify({ ...envelope, payload: Object.fromEntries([[key, value]]) }));
  const removed = fc
    .tuple(valid, member)
    .map(([envelope, key]) =>
      JSON.stringify(Object.fromEntries(Object.entries(envelope).filter(([name]) => name !== key))),
    );
  const spliced = fc
    .tuple(
      valid,
      fc.nat(),
      fc.nat({ max: 5 }),
      fc.oneof(units, fc.constantFrom('"', '{', ']', ',', '1e999', '\\ud800')),
    )
    .map(([envelope, at, gone, put]) => {
      const text = JSON.stringify(envelope);
      const from = at % text.length;
      return text.slice(0, from) + put + text.slice(from + gone);
    });
  return fc.oneof(
    fc.string(),
    fc.string({ unit: character }),
    units,
    bytes,
    fc.json(),
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.integer({ min: 1, max: 3000 }).map((levels) => JSON.stringify(arrays(levels))),
    valid.map((envelope) => JSON.stringify(envelope)),
    replaced,
    nested,
    removed,
    spliced,
  );
}
