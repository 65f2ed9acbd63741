import fc from 'fast-check';
import { character } from '../../../test/support/unicode.js';
import { CLIENT_ID_MAX_BYTES, clientIdProblem, topicLevelProblem } from './client-id.js';

describe('clientIdProblem', () => {
  it.each([
    ['a UUID', '3fb0c7be-89cb-4f19-84b7-94448f40f769'],
    ['one character', 'x'],
    ['a name with dots and spaces', 'host 7.example.com'],
    ['letters outside ASCII', 'Zürich-日本-🚀'],
    ['a dollar sign in front', '$SYS'],
    ['the placeholder of topic templates', '{clientId}'],
    ['256 bytes of one-byte characters', 'a'.repeat(256)],
    ['256 bytes of two-byte characters', 'é'.repeat(128)],
    ['256 bytes of four-byte characters', '🚀'.repeat(64)],
    ['the first character after the control characters', '\u00a0'],
  ])('accepts %s', (_, id) => {
    expect(clientIdProblem(id)).toBeUndefined();
  });

  it.each(['.', '..', 'summary'])('refuses "%s", which no HTTP client can address', (id) => {
    expect(clientIdProblem(id)).toBe('must not be ".", ".." or "summary"');
    expect(topicLevelProblem(id)).toBeUndefined();
  });

  it.each(['...', 'Summary', 'summary.', '.summary'])('accepts "%s", which only resembles a reserved id', (id) => {
    expect(clientIdProblem(id)).toBeUndefined();
  });

  it('refuses an empty id', () => {
    expect(clientIdProblem('')).toBe('must not be empty');
  });

  it.each([
    ['257 one-byte characters', 'a'.repeat(257)],
    ['129 two-byte characters, although they are fewer than 256', 'é'.repeat(129)],
    ['256 bytes and one more', `${'🚀'.repeat(64)}a`],
  ])('refuses %s', (_, id) => {
    expect(clientIdProblem(id)).toBe('must be at most 256 UTF-8 bytes');
  });

  it.each([
    ['a lone high surrogate', 'a\ud83d'],
    ['a lone low surrogate', '\ude80a'],
    ['surrogates in the wrong order', '\ude80\ud83d'],
  ])('refuses %s', (_, id) => {
    expect(clientIdProblem(id)).toBe('must be well-formed Unicode');
  });

  it('refuses every separator, wildcard, control character and noncharacter at any place in the id', () => {
    const controls = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i)];
    const noncharacters = [0xfdd0, 0xfdef, 0xfffe, 0xffff, 0x1fffe, 0x10ffff];
    const forbidden = ['/', '+', '#', ...[...controls, ...noncharacters].map((code) => String.fromCodePoint(code))];
    for (const one of forbidden) {
      for (const id of [one, `${one}b`, `a${one}b`, `a${one}`]) {
        expect([id, clientIdProblem(id)]).toEqual([
          id,
          'must not contain "/", "+", "#", control characters or noncharacters of Unicode',
        ]);
      }
    }
  });

  it('accepts exactly the ids that are one storable topic level', () => {
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 300 }), (id) => {
        const bytes = new TextEncoder().encode(id).length;
        const codes = Array.from(id, (one) => one.codePointAt(0) ?? 0);
        const storable = codes.every(
          (code) => !'/+#'.includes(String.fromCodePoint(code)) && !isControl(code) && !isNoncharacter(code),
        );
        const reserved = ['.', '..', 'summary'].includes(id);
        expect(clientIdProblem(id) === undefined).toBe(
          bytes >= 1 && bytes <= CLIENT_ID_MAX_BYTES && storable && !reserved,
        );
      }),
      { numRuns: 300 },
    );
  });
});

function isNoncharacter(code: number): boolean {
  return (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
}

function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}
