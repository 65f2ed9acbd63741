/** The file of answers has one form in all example devices, and a device that cannot use it says so at its start. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as protocol from '@app/protocol';
import { selectedExamples } from './examples.mjs';
import { killAll } from './program.mjs';
import { Trial } from './trial.mjs';

const EXAMPLES = selectedExamples();
const RULE = 'repeat-after-restart';
const dir = mkdtempSync(join(tmpdir(), 'shared-answers-'));

beforeAll(() => {
  for (const [, { prepare }] of EXAMPLES) expect(prepare()).toBeUndefined();
});
afterAll(() => {
  killAll();
  rmSync(dir, { recursive: true });
});

test('each device repeats the answers of the others', async () => {
  const settings = { command: '', directive: 'demo:ping', timeoutMs: 30_000, protocol };
  const trial = await Trial.create(settings);
  const requests: { message_id: string }[] = [];
  const answers: unknown[] = [];
  try {
    await trial.broker.listen();
    // The first one again, which reads what the last one has written.
    for (const [, { command }] of [...EXAMPLES, ...EXAMPLES.slice(0, 1)]) {
      settings.command = command;
      const program = trial.start();
      const { session } = await trial.online();
      for (const [index, request] of requests.entries()) {
        trial.send(session, request);
        expect((await trial.answerTo(session, request.message_id, RULE)).message).toEqual(answers[index]);
      }
      const request = trial.request();
      trial.send(session, request);
      requests.push(request);
      answers.push((await trial.answerTo(session, request.message_id, RULE)).message);
      await program.kill();
    }
  } finally {
    await trial.close();
  }
});

describe.each(EXAMPLES)('the device in %s', (_language, { command }) => {
  const startIn = (folder: string, id = 'my-host') =>
    spawnSync('/bin/sh', ['-c', command], {
      encoding: 'utf8',
      env: { ...process.env, CLIENT_ID: id, STATE_DIR: folder, MQTT_URL: 'mqtt://127.0.0.1:9' },
    });

  test.each([
    '',
    '{',
    '7',
    '{"id":"a"}',
    '[["id", {"until": 1, "answer": "text"}]]',
    '{"id": [1, "text"]}',
    '[{"id": "a"}]',
    '[{"id": "a", "until": "2026-01-02T03:04:05Z", "answer": "text"}]',
    '[{"id": "a", "until": 1, "answer": 7}]',
  ])('ends with one sentence if its answers are %j', (text) => {
    writeFileSync(join(dir, 'my-host.answers.json'), text);
    const { status, stderr } = startIn(dir);
    expect(stderr).toMatch(
      /^.*my-host\.answers\.json cannot be read: .*; delete it, and repeats will be done again\n$/,
    );
    expect(status).toBe(1);
  });

  test('ends with one sentence if its folder is not there', () => {
    const { status, stderr } = startIn(join(dir, 'missing'));
    expect(stderr).toMatch(/^.*missing\/my-host\.answers\.json cannot be written: .*\n$/);
    expect(status).toBe(1);
  });
});
