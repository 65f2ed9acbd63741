/** A device that loses its connections soon after connecting says what is often the reason: two programs with one client id. */
import * as protocol from '@app/protocol';
import { selectedExamples } from './examples.mjs';
import { killAll } from './program.mjs';
import { Trial } from './trial.mjs';

const EXAMPLES = selectedExamples();

/** What each device had printed after its first lost connection, and after its second. */
const printed = new Map<string, string[]>();
/** The same if the broker refused it between the two: it was stopped. */
const printedWhenStopped = new Map<string, string[]>();

// They wait more than they work: together they take as long as one.
beforeAll(async () => {
  for (const [, { prepare }] of EXAMPLES) expect(prepare()).toBeUndefined();
  await Promise.all(
    EXAMPLES.flatMap(([language, { command }]) => [
      loseTwice(command, false).then((texts) => printed.set(language, texts)),
      loseTwice(command, true).then((texts) => printedWhenStopped.set(language, texts)),
    ]),
  );
});
afterAll(killAll);

async function loseTwice(command: string, isStopped: boolean): Promise<string[]> {
  const trial = await Trial.create({ command, directive: 'demo:ping', timeoutMs: 30_000, protocol });
  try {
    await trial.broker.listen();
    const program = trial.start();
    const texts: string[] = [];
    let { session } = await trial.online();
    for (let loss = 0; loss < 2; loss++) {
      if (isStopped) trial.broker.policy = 'refuse';
      session.drop();
      if (isStopped) {
        const { broker } = trial;
        await broker.untilAttempts(broker.attempts.length + 1, AbortSignal.timeout(30_000));
        broker.policy = 'accept';
      }
      ({ session } = await trial.online());
      texts.push(program.printed);
    }
    return texts;
  } finally {
    await trial.close();
  }
}

test.each(EXAMPLES)('the device in %s asks whether another program has its client id', (language) => {
  const question = 'another program with the same client id?';
  const [first, second] = printed.get(language) ?? [];
  expect(first).not.toContain(question);
  expect(second).toContain(question);
});

test.each(EXAMPLES)('the device in %s does not ask so if the broker was stopped', (language) => {
  expect(printedWhenStopped.get(language)?.at(-1)).not.toContain('another program');
});
