import { UsageError } from './failures.js';
import { refuseRoundedNumbers } from './exact-numbers.js';

it.each([
  '{"n":9007199254740991}',
  '[1.10, -0, 0.0, 1e3, 100, 5e-324, 1E+22]',
  '{"9007199254740993":"9007199254740993"}',
  '"a\\"9007199254740993"',
])('the payload %s is sent as it is', (json) => {
  expect(() => refuseRoundedNumbers(json)).not.toThrow();
});

it.each(['9007199254740993', '-9007199254740993', '3.14159265358979323846', '1e-999'])(
  'a payload with the number %s is refused, with the remedy',
  (number) => {
    expect(() => refuseRoundedNumbers(`{"n":[${number}]}`)).toThrow(UsageError);
    expect(() => refuseRoundedNumbers(`{"n":[${number}]}`)).toThrow(
      `the number ${number}, which this tool would send as`,
    );
  },
);

it.each(['1e999', '-1e999'])('the number %s is refused as too large', (number) => {
  expect(() => refuseRoundedNumbers(`[${number}]`, 'line 2')).toThrow(
    `line 2 has the number ${number}, which is too large for this tool; send it as a string, or use curl`,
  );
});
