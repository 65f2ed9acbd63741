/** The example devices keep every rule of the protocol that the conformance test checks. */
import * as protocol from '@app/protocol';
import { ROOT } from '../../scripts/setup.mjs';
import { EXAMPLES } from './examples.mjs';
import { killAll } from './program.mjs';
import { RULES } from './rules.mjs';
import { judge } from './scenarios.mjs';

const RULE_IDS = RULES.map(({ id }) => id);

afterAll(killAll);

it.each(Object.entries(EXAMPLES))('the device in %s keeps every rule', async (_, { prepare, command }) => {
  prepare();
  const settings = { command: command(ROOT), directive: 'demo:ping', timeoutMs: 30_000, protocol };
  const verdicts = await judge(settings, RULE_IDS);
  expect(verdicts).toEqual(RULE_IDS.map((rule) => ({ rule, outcome: 'ok' })));
});
