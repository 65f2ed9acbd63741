import fc from 'fast-check';
import { Problem } from '../http/problem.js';
import * as texts from './payload-text.js';

const { PayloadText } = texts;
const readMessage = (text: string): unknown => texts.readMessage(Buffer.from(text));
const readBatch = (text: string): unknown => texts.readBatch(Buffer.from(text));

function payloadOf(body: unknown): texts.PayloadText {
  const { payload } = body as { payload: unknown };
  if (!(payload instanceof PayloadText)) throw new Error('there is no payload');
  return payload;
}

function itemsOf(body: unknown): unknown[] {
  return (body as { messages: unknown[] }).messages;
}

const AS_WRITTEN = [
  ...['9007199254740993', '12345678901234567890', '1e400', '-0', '-0.0', '1.0', '1E+2', '0.1e-999', 'true', 'null'],
  ...['{"b":1,"2":2,"1":{"a":[ ]}}', '{"a":1,"a":2}', '{"__proto__":{"x":1},"constructor":{"prototype":[]}}'],
  ...[
    '"\\ud800\\u00e9\\/"',
    '"é\u2028"',
    '"}],{[\\\\\\""',
    '[[],[[]],{}]',
    '{ "a" : [ 1 ,\t2 ] }',
    `"${'x\\"'.repeat(50)}"`,
  ],
];

it.each(AS_WRITTEN)('readMessage() and readBatch() keep a payload as it was written: %s', (text) => {
  expect(payloadOf(readMessage(`{"directive":"a","payload":${text}}`)).text).toBe(text);
  expect(payloadOf(readMessage(` {\n"payload" : ${text} , "directive" : "}" } `)).text).toBe(text);
  const batch = readBatch(`{"messages":[{"payload":${text},"client_id":"a"},1,{"x":[${text}],"payload":${text}}]}`);
  expect([payloadOf(itemsOf(batch)[0]).text, itemsOf(batch)[1], payloadOf(itemsOf(batch)[2]).text]).toEqual([
    text,
    1,
    text,
  ]);
});

it('readMessage() finds the payload under any spelling of its name, and no other member', () => {
  expect(payloadOf(readMessage('{"a":{"payload":1},"p\\u0061yload":[2]}')).text).toBe('[2]');
  expect(readMessage('{"a":{"payload":1}}')).toEqual({ a: { payload: 1 } });
});

it.each(['1', '"payload"', '[{"payload":1}]', 'null', '{}', ' { } '])(
  'readMessage() and readBatch() leave a body that is no message unchanged: %s',
  (text) => {
    expect(readMessage(text)).toEqual(JSON.parse(text));
    expect(readBatch(text)).toEqual(JSON.parse(text));
    expect(readBatch(`{"messages":${text}}`)).toMatchObject({});
  },
);

it('readMessage() counts how deep a payload nests', () => {
  const depths = { '1': 0, '"[["': 0, '[]': 1, '{"a":[1]}': 2, '[[],[[{}]],[]]': 4 };
  for (const [text, depth] of Object.entries(depths)) {
    expect(payloadOf(readMessage(`{"payload":${text}}`)).depth).toBe(depth);
  }
});

it('readMessage() refuses a body in which a member occurs twice, and readBatch() only that item', () => {
  expect(() => readMessage('{"payload":1,"directive":"a","payl\\u006fad":2}')).toThrow(Problem);
  expect(() => readMessage('{"directive":"a","directive":"a"}')).toThrow('/directive: occurs more than once');
  expect(() => readBatch('{"messages":[{"payload":1}],"messages":[]}')).toThrow(Problem);
  const [twice, other] = itemsOf(readBatch('{"messages":[{"payload":1,"payload":2},{"payload":3}]}'));
  expect(twice).toBeInstanceOf(Problem);
  expect(payloadOf({ ...(other as object) }).text).toBe('3');
});

/** JSON text that `JSON.stringify` would not write: blanks, escapes, unusual numbers, members in any order and twice. */
const blank = fc.constantFrom('', '', ' ', '\n\t ', '\r');
const number = fc.constantFrom(
  '0',
  '-0',
  '9007199254740993',
  '1e400',
  '1.50',
  '-3E-7',
  '123456789012345678901234567890',
);
const text = fc
  .array(
    fc.constantFrom('a', 'é', '𝄞', ' ', '{', '}', '[', ']', ',', ':', '\\"', '\\\\', '\\n', '\\u0022', '\\ud800', '0'),
    {
      maxLength: 40,
    },
  )
  .map((parts) => `"${parts.join('')}"`);
const { json } = fc.letrec<{ json: string }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('true', 'false', 'null'),
    number,
    text,
    fc.array(fc.tuple(blank, tie('json'), blank).map((parts) => parts.join(''))).map((items) => `[${items.join(',')}]`),
    fc
      .array(fc.tuple(text, blank, tie('json'), blank).map(([k, a, v, b]) => `${a}${k}${b}:${a}${v}${b}`))
      .map((members) => `{${members.join(',')}}`),
  ),
}));

it('readMessage() and readBatch() keep any payload as it was written, at any place in any body', () => {
  fc.assert(
    fc.property(json, json, blank, (payload, other, gap) => {
      const body = `${gap}{${gap}"before":${other},${gap}"payload"${gap}:${gap}${payload}${gap},"after":${other}}${gap}`;
      const read = readMessage(body);
      expect(payloadOf(read).text).toBe(payload);
      const plain = JSON.parse(body) as object;
      expect({ ...(read as object), payload: null }).toEqual({ ...plain, payload: null });
      const batch = itemsOf(readBatch(`{"a":${other},"messages":[${other},${body},${body}]${gap},"b":${other}}`));
      expect(batch.slice(1).map((item) => payloadOf(item).text)).toEqual([payload, payload]);
    }),
    { numRuns: 1000 },
  );
});
