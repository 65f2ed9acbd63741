import fc from 'fast-check';
import { MESSAGE_RESPONSE, anyText, validEnvelope } from '../../../test/support/envelopes.js';
import { answerTo, messageHead } from './message-head.js';

const HEAD = { type: 'message-response', message_id: 'm-1', in_response_to: 'm-0' };

describe('messageHead', () => {
  it('reads the members that are there in full, wherever the text ends', () => {
    const text = JSON.stringify(MESSAGE_RESPONSE);
    expect(messageHead(text)).toEqual(HEAD);
    for (let end = 0; end < text.length; end++) {
      const head = messageHead(text.slice(0, end));
      expect({ ...HEAD, ...head }).toEqual(HEAD);
      expect('in_response_to' in head).toBe(end >= text.indexOf('"payload"') - 1);
    }
  });

  it('does not take members of other members, or text within strings, for its own', () => {
    expect(
      messageHead('{"payload":{"in_response_to":"a"},"facts":["type",{"type":"b"}],"x":"\\",\\"type\\":\\"c\\""'),
    ).toEqual({});
    expect(messageHead('{"payload":{"in_response_to":"a"},"in_response_to":"b","x":1')).toEqual({
      in_response_to: 'b',
    });
    expect(messageHead('["type","a"]')).toEqual({});
  });

  it('looks at the first 1,024 characters only', () => {
    const late = (length: number): string => `{"x":"${'x'.repeat(length)}","type":"a"}`;
    expect(messageHead(late(1000))).toEqual({ type: 'a' });
    expect(messageHead(late(1020))).toEqual({});
  });

  it('agrees with JSON.parse for any valid message', () => {
    fc.assert(
      fc.property(validEnvelope(), (envelope) => {
        const text = JSON.stringify(envelope);
        fc.pre(text.length <= 1024);
        const { type, message_id, in_response_to } = envelope;
        expect(messageHead(text)).toEqual({
          type,
          message_id,
          ...(in_response_to !== undefined && { in_response_to }),
        });
      }),
    );
  });

  it('never throws, and names only ids of 1 to 128 characters', () => {
    fc.assert(
      fc.property(anyText(), (text) => {
        const { answerTo: id = 'x' } = answerTo(messageHead(text));
        expect(id.length >= 1 && id.length <= 128).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
