import { parseJson } from './json';

it('an empty text is no value', () => {
  expect(parseJson(' \n')).toEqual({ value: undefined });
});

it('reads JSON', () => {
  expect(parseJson('{"a": [1, null]}')).toEqual({ value: { a: [1, null] } });
});

it.each([
  ['{"a": 1,}', 'Line 1, column 9: property name expected'],
  ['{\n  "a": tru\n}', 'Line 2, column 8: invalid symbol'],
  ['{\n  "a": "x"\n  "b": 1}', 'Line 3, column 3: comma expected'],
  ['[1, 2', 'Line 1, column 6: close bracket expected'],
  ['{} // a comment', 'Line 1, column 4: invalid comment token'],
])('says where %j is wrong', (text, fault) => {
  expect(parseJson(text)).toEqual({ fault });
});
