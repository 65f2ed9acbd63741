/** Nothing that callers of the last release rely on is gone. `openapi-0.1.0.json` is the document that its gateway served. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OPENAPI } from '../../scripts/openapi.mjs';
import { breaksOf, type Api } from './api-breaks.js';

const read = (path: string): Api => JSON.parse(readFileSync(path, 'utf8')) as Api;
const RELEASED = join(__dirname, 'openapi-0.1.0.json');

/** Breaks that were decided, or that only the document has. One that is not found any more fails the test. */
const ALLOWED: readonly { line: RegExp; why: string }[] = [
  {
    line: /errors\[\]\.pointer: may be absent$/,
    why: 'errors of parameters name the parameter, not a member of the body',
  },
  {
    line: /client_id: has narrower limits$/,
    why: 'such an id could register with 0.1.0, but no request could name it',
  },
  { line: /(cursor|Last-Event-ID): has narrower limits$/, why: 'none is ever that long; the limit is for readers' },
  { line: /^streamEvents types: takes no string$/, why: 'it is the same text, which the document shows as a list' },
];

test('the API breaks nothing of release 0.1.0 but what was decided', () => {
  const found = breaksOf(read(RELEASED), read(OPENAPI));
  expect(found.filter((text) => !ALLOWED.some(({ line }) => line.test(text)))).toEqual([]);
  expect(ALLOWED.filter(({ line }) => !found.some((text) => line.test(text)))).toEqual([]);
});

/** The breaks after the text has been replaced in the document. */
function after(from: string, to: string): string[] {
  const text = JSON.stringify(read(OPENAPI));
  // Not `toContain`, which would print the whole document.
  expect([from, text.includes(from)]).toEqual([from, true]);
  return breaksOf(read(OPENAPI), JSON.parse(text.replaceAll(from, to)) as Api);
}

describe('breaksOf', () => {
  it('finds a path and an operation that are gone', () => {
    expect(after('/v1/stats', '/v1/figures')).toEqual(['get /v1/stats: is gone']);
    expect(after('"operationId":"getStats"', '"operationId":"readStats"')).toEqual(['getStats is called readStats']);
  });

  it('finds members of responses that are gone, may be absent or have another type', () => {
    expect(after('"held_messages":{', '"waiting":{')).toContain('getConnection 200.held_messages: is gone');
    expect(after('"shard","held_messages"', '"shard"')).toContain('getConnection 200.held_messages: may be absent');
    expect(after('{"type":"integer","description":"The HTTP status."}', '{"type":"string"}')).toContain(
      'getStats 401.status: may be string',
    );
  });

  it('finds members of requests that are gone or newly required, values that are refused, and lower limits', () => {
    expect(after('"required":["directive"]', '"required":["directive","payload"]')).toContain(
      'sendMessage body.payload: is required',
    );
    expect(after('"enum":["hold","reject"]', '"enum":["hold"]')).toContain(
      'sendMessage body.when_offline: takes no reject',
    );
    expect(after('"maximum":2592000', '"maximum":3600')).toContain('sendMessage body.ttl_seconds: has narrower limits');
  });

  it('finds types of events that are gone', () => {
    expect(after('"const":"sweep.ended"', '"const":"sweep.done"')).toEqual(['streamEvents 200 sweep.ended: is gone']);
  });

  it('finds nothing in what is added', () => {
    expect(after('"enum":["hold","reject"]', '"enum":["hold","reject","drop"]')).toEqual([]);
    expect(after('"held_messages":{', '"more":{},"held_messages":{')).toEqual([]);
  });
});
