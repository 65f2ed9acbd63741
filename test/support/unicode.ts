import fc from 'fast-check';

/** Any Unicode character except surrogates, for properties about text that can be encoded. */
export const character = fc
  .integer({ min: 0, max: 0x10_ffff - 0x800 })
  .map((code) => String.fromCodePoint(code < 0xd800 ? code : code + 0x800));
