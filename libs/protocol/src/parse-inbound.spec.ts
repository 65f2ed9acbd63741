import {
  CLIENT_MESSAGE,
  HOST,
  MESSAGE_ERROR,
  MESSAGE_PROGRESS,
  MESSAGE_RESPONSE,
  OFFLINE,
  PROXY,
  arrays,
} from '../../../test/support/envelopes.js';
import { MAX_DEPTH, parseInbound, type ParseOutcome, type Refusal } from './parse-inbound.js';

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

describe('parseInbound', () => {
  it('accepts the handshake of the protocol', () => {
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
    ['an offline with an unexpected payload', { ...OFFLINE, payload: 7 }],
    ['a message-error', MESSAGE_ERROR],
    ['a message-error with empty details', { ...MESSAGE_ERROR, payload: { details: '' } }],
    ['a message-response', MESSAGE_RESPONSE],
    ['a message-response without payload', { ...MESSAGE_RESPONSE, payload: undefined }],
    ['a message-response with a payload of null', { ...MESSAGE_RESPONSE, payload: null }],
    ['a message-progress', MESSAGE_PROGRESS],
    ['a message-progress that is complete', { ...MESSAGE_PROGRESS, payload: { percent: 100 } }],
    ['a message-progress that has not begun', { ...MESSAGE_PROGRESS, payload: { percent: 0 } }],
    ['a message-progress with details alone', { ...MESSAGE_PROGRESS, payload: { details: '' } }],
    ['a message', CLIENT_MESSAGE],
    ['a message about another one', { ...CLIENT_MESSAGE, in_response_to: 'm-0' }],
    ['a message without payload', { ...CLIENT_MESSAGE, payload: undefined }],
    ['a message with a payload of null', { ...CLIENT_MESSAGE, payload: null }],
    ['a message_id of one character', { ...OFFLINE, message_id: 'x' }],
    ['a message_id of 128 characters', { ...OFFLINE, message_id: 'x'.repeat(128) }],
    ['a time in UTC', { ...OFFLINE, sent: '2020-12-04T17:22:24Z' }],
    ['a time with a fraction and an offset', { ...OFFLINE, sent: '2020-12-04T17:22:24.123456789-05:30' }],
    ['a fact that is an empty list', { ...HOST, payload: { canonical_facts: { ip_addresses: [] } } }],
  ])('accepts %s', (_, value) => {
    expect(parse(value)).toEqual({ ok: true, message: value });
  });

  it.each(['insights_id', 'machine_id', 'bios_uuid', 'subscription_manager_id', 'fqdn'])(
    'accepts %s as the only fact',
    (fact) => {
      expect(parse({ ...HOST, payload: { canonical_facts: { [fact]: 'x' } } }).ok).toBe(true);
    },
  );

  it.each(['ip_addresses', 'mac_addresses'])('accepts %s as the only fact', (fact) => {
    expect(parse({ ...HOST, payload: { canonical_facts: { [fact]: ['x'] } } }).ok).toBe(true);
  });

  it('accepts white space around the object', () => {
    expect(parseInbound(` \r\n\t${JSON.stringify(OFFLINE)}\n`).ok).toBe(true);
  });

  it('accepts exactly MAX_DEPTH levels, of which the envelope is the first', () => {
    expect(parse({ ...OFFLINE, extra: arrays(MAX_DEPTH - 1) }).ok).toBe(true);
  });

  it('refuses an empty message, and says what an empty message is for', () => {
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
    'refuses %j, because it is not JSON',
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

  it.each(['null', 'true', '1', '"offline"', '[]', '[{"type":"offline"}]'])(
    'refuses %s, because it is not an object',
    (text) => {
      expect(parseInbound(text)).toEqual({
        ok: false,
        refusal: {
          reason: 'wrong-shape',
          details: 'the message must be a JSON object',
          messageId: null,
          handshake: false,
        },
      });
    },
  );

  it.each([
    undefined,
    null,
    1,
    ['offline'],
    '',
    'Offline',
    'Message',
    'handshake-error',
    '__proto__',
    'toString',
    'constructor',
    'hasOwnProperty',
  ])('refuses the unknown type %j, and names the known types', (type) => {
    expect(refusalOf({ ...OFFLINE, type })).toEqual({
      reason: 'unknown-type',
      details:
        'type must be one of host-handshake, proxy-handshake, offline, message-error, message-response, message-progress, message',
      messageId: 'm-1',
      handshake: false,
    });
  });

  it.each([undefined, null, 0, 2, 1.5, '1', [1], true])('refuses the version %j', (version) => {
    expect(refusalOf({ ...HOST, version })).toEqual({
      reason: 'unsupported-version',
      details: 'version must be 1',
      messageId: 'm-1',
      handshake: true,
    });
    expect(refusalOf({ ...OFFLINE, version }).handshake).toBe(false);
  });

  it('refuses more than MAX_DEPTH levels in any member', () => {
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
    ['a day that does not exist', { ...HOST, sent: '2020-02-30T17:22:24Z' }, 'sent: ', 'm-1'],
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
  ])('refuses a handshake with %s, and names the member', (_, value, start, messageId) => {
    const { details, ...refusal } = refusalOf(value);
    expect(refusal).toEqual({ reason: 'wrong-shape', messageId, handshake: true });
    expect(details.startsWith(start)).toBe(true);
    expect(details.length).toBeGreaterThan(start.length);
  });

  it('refuses facts if none is known, and names the known facts', () => {
    const known = 'insights_id, machine_id, bios_uuid, subscription_manager_id, fqdn, ip_addresses, mac_addresses';
    for (const facts of [{}, { rhel_version: '9' }]) {
      expect(refusalOf({ ...HOST, payload: { canonical_facts: facts } }).details).toBe(
        `payload.canonical_facts: must have at least one of ${known}`,
      );
    }
  });

  it('refuses a known fact that is only inherited through a "__proto__" member', () => {
    const text = JSON.stringify(HOST).replace('{"fqdn":"host-1"}', '{"__proto__":{"fqdn":"host-1"}}');
    expect(refused(parseInbound(text))).toMatchObject({ reason: 'wrong-shape', handshake: true });
  });

  it.each([
    ['without in_response_to', { ...MESSAGE_ERROR, in_response_to: undefined }, 'in_response_to: '],
    ['with an empty in_response_to', { ...MESSAGE_ERROR, in_response_to: '' }, 'in_response_to: '],
    ['with an in_response_to too long', { ...MESSAGE_ERROR, in_response_to: 'x'.repeat(129) }, 'in_response_to: '],
    ['without details', { ...MESSAGE_ERROR, payload: {} }, 'payload.details: '],
    ['with details that are no string', { ...MESSAGE_ERROR, payload: { details: {} } }, 'payload.details: '],
  ])('refuses a message-error %s', (_, value, start) => {
    const refusal = refusalOf(value);
    expect(refusal).toMatchObject({ reason: 'wrong-shape', messageId: 'm-1', handshake: false });
    expect(refusal.details.startsWith(start)).toBe(true);
  });

  it.each([
    ['message-response without in_response_to', { ...MESSAGE_RESPONSE, in_response_to: undefined }, 'in_response_to: '],
    ['message-progress without in_response_to', { ...MESSAGE_PROGRESS, in_response_to: undefined }, 'in_response_to: '],
    ['message-progress without payload', { ...MESSAGE_PROGRESS, payload: undefined }, 'payload: '],
    ['message-progress that says nothing', { ...MESSAGE_PROGRESS, payload: {} }, 'payload: '],
    ['message-progress of less than 0 %', { ...MESSAGE_PROGRESS, payload: { percent: -1 } }, 'payload.percent: '],
    ['message-progress of more than 100 %', { ...MESSAGE_PROGRESS, payload: { percent: 100.5 } }, 'payload.percent: '],
    [
      'message-progress with a percent that is text',
      { ...MESSAGE_PROGRESS, payload: { percent: '4' } },
      'payload.percent: ',
    ],
    [
      'message-progress with details that are no text',
      { ...MESSAGE_PROGRESS, payload: { details: 1 } },
      'payload.details: ',
    ],
  ])('refuses a %s', (_, value, start) => {
    const refusal = refusalOf(value);
    expect(refusal).toMatchObject({ reason: 'wrong-shape', messageId: 'm-1', handshake: false });
    expect(refusal.details.startsWith(start)).toBe(true);
  });

  it.each([MESSAGE_RESPONSE, MESSAGE_ERROR])('names the message that a wrong $type answers', (answer) => {
    for (const wrong of [{ version: 2 }, { sent: 'now' }, { message_id: 7 }, { extra: arrays(MAX_DEPTH) }]) {
      expect(refusalOf({ ...answer, ...wrong }).answerTo).toBe('m-0');
    }
    expect(refused(parseInbound(JSON.stringify(answer).slice(0, -1))).answerTo).toBe('m-0');
    expect(refusalOf({ ...answer, in_response_to: 7 })).not.toHaveProperty('answerTo');
    expect(refusalOf({ ...answer, in_response_to: 'x'.repeat(129) })).not.toHaveProperty('answerTo');
  });

  it('names no message that anything else is about', () => {
    for (const other of [
      MESSAGE_PROGRESS,
      { ...CLIENT_MESSAGE, in_response_to: 'm-0' },
      { type: 'x', in_response_to: 'm-0' },
    ]) {
      expect(refusalOf({ ...other, version: 2 })).not.toHaveProperty('answerTo');
    }
  });

  it.each([
    ['without directive', { ...CLIENT_MESSAGE, directive: undefined }, 'directive: '],
    ['with an empty directive', { ...CLIENT_MESSAGE, directive: '' }, 'directive: '],
    ['with a directive too long', { ...CLIENT_MESSAGE, directive: 'x'.repeat(257) }, 'directive: '],
    ['with an empty in_response_to', { ...CLIENT_MESSAGE, in_response_to: '' }, 'in_response_to: '],
    ['with an in_response_to of null', { ...CLIENT_MESSAGE, in_response_to: null }, 'in_response_to: '],
  ])('refuses a message %s', (_, value, start) => {
    const refusal = refusalOf(value);
    expect(refusal).toMatchObject({ reason: 'wrong-shape', messageId: 'm-1', handshake: false });
    expect(refusal.details.startsWith(start)).toBe(true);
  });

  it('names three of many issues, and the number of the others', () => {
    const facts = { ip_addresses: Array.from({ length: 50_000 }, () => 1) };
    const { details } = refusalOf({ ...HOST, payload: { canonical_facts: facts } });
    const lines = details.split('; ');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^payload\.canonical_facts\.ip_addresses\.0: /);
    expect(lines[3]).toBe('and 49997 more');
  });
});
