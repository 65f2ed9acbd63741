import fc from 'fast-check';
import { payloadJsonOf } from './payload-json.js';

describe('payloadJsonOf', () => {
  it.each([
    '9007199254740993',
    '-0',
    '1e400',
    'null',
    '""',
    '"}],{\\\\\\""',
    '{"2":2,"1":{"a":[ ]},"1":0}',
    '[[],[[]],{}]',
  ])('gives %s as the client wrote it', (payload) => {
    expect(payloadJsonOf(`{"type":"message", "payload" : ${payload} ,"sent":"x"}`)).toBe(payload);
    expect(payloadJsonOf(`{"payload":${payload}}`)).toBe(payload);
  });

  it('gives nothing if there is no payload, also if another member has one', () => {
    expect(payloadJsonOf('{"type":"message","extra":{"payload":1}}')).toBeUndefined();
    expect(payloadJsonOf('{}')).toBeUndefined();
  });

  it('gives the last payload of several, as JSON.parse does', () => {
    expect(payloadJsonOf('{"payload":1,"payload":{"a":2},"p":3}')).toBe('{"a":2}');
  });

  it('finds the payload if its name is escaped', () => {
    expect(payloadJsonOf('{"p\\u0061yload":1}')).toBe('1');
  });

  it('gives one line, without a change of any string', () => {
    expect(payloadJsonOf('{\r\n"payload":\n{\n\t"a": "\\n\\t",\r\n\t"b": 1\n}\n}')).toBe('{ "a": "\\n\\t", "b": 1 }');
  });

  it('gives a text with the value of the payload, for any object in any form', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.jsonValue(),
        fc.nat({ max: 3 }),
        (rest, payload, spaces) => {
          const json = JSON.stringify({ ...rest, payload }, null, spaces);
          const text = payloadJsonOf(json) ?? '';
          expect(text).not.toMatch(/[\t\n\r]/);
          expect(JSON.parse(text)).toEqual((JSON.parse(json) as { payload: unknown }).payload);
        },
      ),
    );
  });
});
