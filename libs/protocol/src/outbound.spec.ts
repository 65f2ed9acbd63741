import fc from 'fast-check';
import { character } from '../../../test/support/unicode.js';
import {
  ForceDisconnect,
  HandshakeError,
  HandshakeResponse,
  Message,
  encodeReply,
  encodeMessage,
  type ReplyBody,
} from './outbound.js';

const AT = new Date('2024-05-06T07:08:09.123Z');
const EXPIRES_AT = Date.parse('2024-05-06T08:08:09.004Z');
const ID = '017f22e2-79b0-7abc-8000-000000000000';
const text = fc.string({ unit: character, minLength: 1, maxLength: 64 });

describe('encodeReply', () => {
  const replies: [string, ReplyBody, { safeParse: (value: unknown) => { success: boolean } }][] = [
    [
      'handshake-error',
      { type: 'handshake-error', in_response_to: 'm-1', payload: { details: 'must be retained' } },
      HandshakeError,
    ],
    [
      'handshake-error to an unreadable message',
      { type: 'handshake-error', in_response_to: null, payload: { details: 'not JSON' } },
      HandshakeError,
    ],
    [
      'handshake-error with a time',
      {
        type: 'handshake-error',
        in_response_to: 'm-1',
        payload: { details: 'too early', reason: 'refused-until', retry_after: 'PT20S' },
      },
      HandshakeError,
    ],
    ['handshake-response', { type: 'handshake-response', in_response_to: 'm-1' }, HandshakeResponse],
    ['force-disconnect', { type: 'force-disconnect', payload: { reconnect_after: 'PT30S' } }, ForceDisconnect],
  ];

  it.each(replies)('adds the members of the envelope to a %s', (_, body, schema) => {
    const reply: unknown = JSON.parse(encodeReply(body, ID, AT));
    expect(reply).toEqual({ ...body, message_id: ID, version: 1, sent: '2024-05-06T07:08:09.123Z' });
    expect(schema.safeParse(reply).success).toBe(true);
  });

  it.each(replies)('makes an id and uses the current time for a %s if none is given', (_, body, schema) => {
    const [one, other] = [body, body].map((same) => JSON.parse(encodeReply(same)) as { message_id: string });
    expect(schema.safeParse(one).success).toBe(true);
    expect(one?.message_id).toMatch(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
    expect(one?.message_id).not.toBe(other?.message_id);
  });

  it('carries any details and any refused id unchanged', () => {
    fc.assert(
      fc.property(text, fc.option(text), (details, inResponseTo) => {
        const body = { type: 'handshake-error', in_response_to: inResponseTo, payload: { details } } as const;
        const reply = HandshakeError.parse(JSON.parse(encodeReply(body, ID, AT)));
        expect(reply.payload.details).toBe(details);
        expect(reply.in_response_to).toBe(inResponseTo);
      }),
    );
  });
});

describe('encodeMessage', () => {
  function encoded(directive: string, payloadJson: string | undefined): string {
    return encodeMessage({ messageId: ID, directive, payloadJson, expiresAt: EXPIRES_AT }, AT);
  }

  it('writes the whole envelope', () => {
    expect(JSON.parse(encoded('rhc:work', '{"url":"https://example.com"}'))).toEqual({
      type: 'message',
      message_id: ID,
      version: 1,
      sent: '2024-05-06T07:08:09.123Z',
      expires: '2024-05-06T08:08:09.004Z',
      directive: 'rhc:work',
      payload: { url: 'https://example.com' },
    });
  });

  it('omits the payload if there is none, and keeps a payload of null', () => {
    expect(JSON.parse(encoded('ping', undefined))).not.toHaveProperty('payload');
    expect(JSON.parse(encoded('ping', 'null'))).toHaveProperty('payload', null);
  });

  it('copies the JSON text of the payload byte for byte', () => {
    const payload = '{ "n" : 12345678901234567890.10, "n" : 1e400, "s":"\\u00e9\\/" }';
    expect(encoded('a', payload)).toContain(`"payload":${payload}}`);
  });

  it('makes a valid message of any directive and any JSON payload', () => {
    fc.assert(
      fc.property(text, fc.option(fc.json(), { nil: undefined }), (directive, payload) => {
        const value = JSON.parse(encoded(directive, payload)) as { directive: string; payload?: unknown };
        expect(Message.safeParse(value).success).toBe(true);
        expect(value.directive).toBe(directive);
        expect(JSON.stringify(value.payload)).toBe(
          payload === undefined ? undefined : JSON.stringify(JSON.parse(payload)),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('does not let a directive break out of its string', () => {
    const directive = '","payload":{"evil":true},"x":"\\';
    expect(JSON.parse(encoded(directive, undefined))).toMatchObject({ directive });
    expect(JSON.parse(encoded(directive, undefined))).not.toHaveProperty('payload');
  });
});
