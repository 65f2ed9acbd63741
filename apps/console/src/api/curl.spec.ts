import { execFileSync } from 'node:child_process';
import { acts, type Act } from './acts';
import { curlOf } from './curl';

const BASE = 'http://127.0.0.1:3000/';

/** What a POSIX shell passes to the command. */
function argumentsOf(command: string): string[] {
  const script = command.replace(/^curl/, 'printf "%s\\0"');
  const env = { CLOUD_CONNECTOR_TOKEN: 'the-key' };
  return execFileSync('/bin/sh', ['-c', script], { env, encoding: 'utf8' }).split('\0').slice(0, -1);
}

it.each([`it's "quoted" \`id\` $(id) $HOME`, `''; id; '`, 'a\\', 'line\nbreak', '-X', 'é%2F'])(
  'a shell passes the client id %j on as it is',
  (clientId) => {
    const [option, method, url] = argumentsOf(curlOf(acts.forget(clientId), BASE, true));
    expect([option, method]).toEqual(['-X', 'DELETE']);
    expect(decodeURIComponent(new URL(url ?? '').pathname)).toBe(`/v1/connections/${clientId}`);
  },
);

const HOSTILE = `it's "quoted" \`id\` $(id) $HOME`;

it.each(Object.entries(acts))('a shell passes %s on as it is, and puts the key in', (_name, make) => {
  const act = (make as (...values: unknown[]) => Act)(HOSTILE, HOSTILE);
  const command = curlOf(act, BASE, true);
  expect(command).toContain('$CLOUD_CONNECTOR_TOKEN');
  const [, method, url, , header, ...rest] = argumentsOf(command);
  expect([method, header]).toEqual([act.method, 'Authorization: Bearer the-key']);
  const filled = act.url.replace(/\{\w+\}/, HOSTILE);
  expect(decodeURIComponent(new URL(url ?? '').pathname)).toBe(filled);
  if (act.body !== undefined) expect(JSON.parse(rest.at(-1) ?? '')).toEqual(act.body);
});

it('a shell passes a body full of quotes on as it is, and puts the key in', () => {
  const body = { directive: `d'"$(id)`, payload: { text: `'\\''"; rm -rf '` } };
  const passed = argumentsOf(curlOf(acts.send('a', body), BASE, true));
  expect(passed).toContain('Authorization: Bearer the-key');
  expect(JSON.parse(passed.at(-1) ?? '')).toEqual(body);
});

it('names no key if none is needed, and no method for a read', () => {
  const read = { method: 'GET', url: '/v1/connections', query: { state: 'online', type: undefined } } as const;
  expect(curlOf(read, BASE, false)).toBe(`curl 'http://127.0.0.1:3000/v1/connections?state=online'`);
});
