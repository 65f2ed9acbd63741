/** A device that loses its connections soon after connecting says what is often the reason: two programs with one client id. */
import * as protocol from '@app/protocol';
import { selectedExamples } from './examples.mjs';
import { killAll } from './program.mjs';
import { Trial } from './trial.mjs';

const EXAMPLES = selectedExamples();

beforeAll(() => {
  for (const [, { prepare }] of EXAMPLES) expect(prepare()).toBeUndefined();
});
afterAll(killAll);

test.each(EXAMPLES)(
  'the device in %s asks whether another program has its client id',
  async (_language, { command }) => {
    const trial = await Trial.create({ command, directive: 'demo:ping', timeoutMs: 30_000, protocol });
    const question = 'another program with the same client id?';
    try {
      await trial.broker.listen();
      const program = trial.start();
      (await trial.online()).session.drop();
      const { session } = await trial.online();
      expect(program.printed).not.toContain(question);
      session.drop();
      await trial.online();
      expect(program.printed).toContain(question);
    } finally {
      await trial.close();
    }
  },
);
