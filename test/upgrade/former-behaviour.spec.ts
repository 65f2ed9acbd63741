/**
 * Callers, clients and subscribers that know nothing of answers see what they saw before there were any. `former-behaviour.json`
 * was recorded from the commit before answers, a4c41e5, with this file and its helpers copied there:
 *
 *   RECORD=yes npx jest --selectProjects upgrade -- former-behaviour; npx prettier --write test/upgrade/former-behaviour.json
 *
 * `former-story.ts` is what was played, and is played again; `test/support/normalizer.ts` lists what may differ.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stopAll } from '../../scripts/stack.mjs';
import { withoutTexts } from '../support/normalizer.js';
import { playFormerStory, type Recording } from './former-story.js';

const FILE = join(__dirname, 'former-behaviour.json');
const recorded: Recording = existsSync(FILE)
  ? (JSON.parse(readFileSync(FILE, 'utf8')) as Recording)
  : { headers: {}, calls: [], packets: {}, events: {} };
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-former-'));
let played: Recording;

beforeAll(async () => {
  played = await playFormerStory(dir);
  if (process.env['RECORD'] === 'yes') writeFileSync(FILE, `${JSON.stringify(played, undefined, 2)}\n`);
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it('the same calls are made, and their responses have the same headers in common', () => {
  expect(played.calls.map(({ what }) => what)).toEqual(recorded.calls.map(({ what }) => what));
  expect(played.headers).toEqual(recorded.headers);
});

it.each(recorded.calls.map((call, i) => [call.what, i, call] as const))(
  'the response is the same: %s',
  (_, i, call) => {
    expect(withoutTexts(played.calls[i])).toEqual(withoutTexts(call));
  },
);

it.each(Object.entries(recorded.packets))('the client %s gets the same messages', (id, packets) => {
  expect(played.packets[id]).toEqual(packets);
});

it.each(Object.entries(recorded.events))('the subscription /v1/events%s gets the same events', (query, events) => {
  expect(played.events[query]).toEqual(events);
});
