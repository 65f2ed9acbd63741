/** The example devices keep every rule of the protocol that the conformance test checks. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as protocol from '@app/protocol';
import { ROOT } from '../../scripts/setup.mjs';
import { selectedExamples } from './examples.mjs';
import { killAll } from './program.mjs';
import { RULES } from './rules.mjs';
import { judge } from './scenarios.mjs';

const RULE_IDS = RULES.map(({ id }) => id);
const EXAMPLES = selectedExamples();
const verdicts = new Map<string, Awaited<ReturnType<typeof judge>>>();

// They wait more than they work: together they take as long as one.
beforeAll(async () => {
  for (const [, { prepare }] of EXAMPLES) expect(prepare()).toBeUndefined();
  await Promise.all(
    EXAMPLES.map(async ([language, { command }]) => {
      verdicts.set(language, await judge({ command, directive: 'demo:ping', timeoutMs: 30_000, protocol }, RULE_IDS));
    }),
  );
});
afterAll(killAll);

it.each(EXAMPLES)('the device in %s keeps every rule', (language) => {
  expect(verdicts.get(language)).toEqual(RULE_IDS.map((rule) => ({ rule, outcome: 'ok' })));
});

it('the device in Python answers with an error where JSON cannot hold what its work returns', () => {
  const lines = `
import sys; sys.dont_write_bytecode = True
import device
device.perform = lambda *_: {"load": float("nan")}
print(device.answer_to({"message_id": "m"}, print, None))`;
  const { stdout } = spawnSync('/usr/bin/python3', ['-c', lines], {
    cwd: join(ROOT, 'examples/device-python'),
    encoding: 'utf8',
  });
  expect(JSON.parse(stdout)).toMatchObject({
    type: 'message-error',
    payload: { details: expect.stringMatching(/^Out of range float values are not JSON compliant/) as string },
  });
});
