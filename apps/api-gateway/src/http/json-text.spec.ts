import fc from 'fast-check';
import { JsonText, toJson } from './json-text.js';

describe('toJson', () => {
  it('gives each text as it was written, wherever it is', () => {
    const written = ['12345678901234567890', '1.10', '1e400', '{"2":-0,"1":"$&","1":[ ]}', '"$1"', 'null'];
    const body = { data: written.map((text) => ({ answer: { payload: new JsonText(text) } })), next: 'a' };
    expect(toJson(body)).toBe(
      `{"data":[${written.map((text) => `{"answer":{"payload":${text}}}`).join(',')}],"next":"a"}`,
    );
    expect(toJson(new JsonText('1.0'))).toBe('1.0');
  });

  it('gives what JSON.stringify gives for any other value', () => {
    fc.assert(fc.property(fc.jsonValue(), (body) => expect(toJson(body)).toBe(JSON.stringify(body))));
  });

  it('keeps no text of a body that cannot be serialized', () => {
    expect(() => toJson([new JsonText('1.0'), 1n])).toThrow(TypeError);
    expect(JSON.stringify(new JsonText('1.50'))).toBe('1.5');
    expect(toJson([new JsonText('2.0')])).toBe('[2.0]');
  });
});
