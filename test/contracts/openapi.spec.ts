/** The OpenAPI document is one that generators of other people digest, and that its readers understand. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONTROLLERS } from '../../apps/api-gateway/src/gateway.module.js';
import { buildOpenApi } from '../../apps/api-gateway/src/openapi.js';
import { OPENAPI, documentOf, textOf } from '../../scripts/openapi.mjs';
import type { OpenApi } from '../support/openapi.js';
import { faultsOf } from './openapi-faults.js';

/** Without its questions to the network. */
const QUIET = { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };

let document: OpenApi;

beforeAll(async () => {
  document = (await documentOf({ CONTROLLERS, buildOpenApi })) as OpenApi;
});

test('docs/openapi.json is the document; if not, run `npm run generate`', () => {
  expect(readFileSync(OPENAPI, 'utf8')).toBe(textOf(document));
});

test('redocly finds nothing in it', () => {
  const cli = join(__dirname, '../../node_modules/@redocly/cli/bin/cli.js');
  const args = [cli, 'lint', OPENAPI, '--extends', 'recommended', '--format', 'json'];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, ...QUIET },
    maxBuffer: 2 ** 26,
  });
  expect(stdout === '' ? stderr : JSON.parse(stdout)).toMatchObject({
    totals: { errors: 0, warnings: 0 },
    problems: [],
  });
});

test('everything in the document has a name, a text and an example that fits', () => {
  expect(faultsOf(document)).toEqual([]);
});

describe('faultsOf', () => {
  /** The faults after the text has been replaced in the document. */
  function after(from: string, to: string): string[] {
    const text = JSON.stringify(document);
    // Not `toContain`, which would print the whole document.
    expect([from, text.includes(from)]).toEqual([from, true]);
    return faultsOf(JSON.parse(text.replaceAll(from, to)) as OpenApi);
  }

  it.each([
    ['"openapi":"3.1.', '"openapi":"3.0.', /the version is 3\.0/],
    ['"servers":[{', '"hosts":[{', /names no servers/],
    ['"tags":[{"name":"Connections"', '"tags":[{"name":"Others"', /^tag Connections: has no description$/],
    ['"api_key":["cluster:read"]', '"api_key":[]', /^getCluster: its security does not show its scope$/],
    [
      '{"$ref":"#/components/parameters/X-Request-Id"}',
      '{"name":"a","in":"header","description":"b"}',
      /^getStats: does not take X-Request-Id$/,
    ],
    ['"RateLimit":{"$ref"', '"Limit":{"$ref"', /^getStats 429: has no header RateLimit$/],
    [
      '"Location":{"description":"Path of the message"',
      '"Location":{"description":""',
      /^sendMessage 202 Location: has no description$/,
    ],
    [
      '"404":{"description":"No such resource',
      '"410":{"description":"No such resource',
      /^getCluster: lacks the 404 of callers of an account$/,
    ],
    [
      '"operationId":"cancelMessage","parameters":{',
      '"operationId":"no","parameters":{',
      /: leads to no operation: no$/,
    ],
    [
      '"client_id":"$response.body',
      '"client":"$response.body',
      /^getConnection 200 link \w+: sendMessage does not take client$/,
    ],
    ['body#/sweep_id', 'body#/id', /^startSweep 202 link getSweep: the response has no id$/],
    ['"414":{', '"418":{', /^getSweep: lacks the 414 of a long path$/],
    ['"400":{', '"418":{', /^getStats: lacks the 400 of a request that cannot be read$/],
    ['"maxLength":2048,', '', /^PageCursor: has no rule/],
    ['"minimum":1,"maximum":2592000', '"minimum":1', /^SendMessage\.ttl_seconds: has no rule/],
    ['"minItems":1,"maxItems":1000', '"minItems":1', /^MessageBatch\.messages: has no rule/],
    ['"description":"Id of the client."', '"title":"Id"', /^AcceptedMessage\.client_id: has no description$/],
    [
      '"reconnect_after":"PT30S"',
      '"reconnect_after":30',
      /^forceDisconnect application\/json: its example is wrong at \/reconnect_after/,
    ],
    ['"format":"date-time"', '"format":"date-time","pattern":"^2"', /: has a pattern beside a format$/],
    [
      '"required":["directive"],"additionalProperties":false',
      '"required":["directive"]',
      /^SendMessage: accepts any member$/,
    ],
    ['"format":"uuid"', '"format":"uuid","default":"a"', /^getSweep sweep_id: has a default in a request$/],
    ['"gap":"#/components/schemas/GapEvent"', '"gap":"#/components/schemas/ClosedEvent"', /^Event: the discriminator/],
    [
      '"$ref":"#/components/schemas/WhenOffline"',
      '"enum":["hold"]',
      /^SendMessage\.when_offline: is an enum without a name$/,
    ],
  ])('finds that %j was replaced by %j', (from, to, fault) => {
    expect(after(from, to)).toContainEqual(expect.stringMatching(fault));
  });
});
