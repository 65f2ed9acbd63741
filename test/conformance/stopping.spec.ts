/**
 * A device that is stopped at work ends the work, and its answer is not lost: it goes before the goodbye, or with the next handshake.
 * A goodbye is whole, also if the device is stopped during it.
 */
import * as protocol from '@app/protocol';
import { selectedExamples } from './examples.mjs';
import type { Session } from './broker.mjs';
import { killAll } from './program.mjs';
import { isAnswer, textOf } from './published.mjs';
import { Trial } from './trial.mjs';

const EXAMPLES = selectedExamples();
const RULE = 'goodbye';
/** Work that would outlast the test, or the 10 seconds for which a device waits for its work. */
const LONG_WORK = { directive: 'demo:work', payload: { steps: 100 } };

beforeAll(() => {
  for (const [, { prepare }] of EXAMPLES) expect(prepare()).toBeUndefined();
});
afterAll(killAll);

async function withDevice(command: string, act: (trial: Trial, session: Session) => Promise<void>) {
  const trial = await Trial.create({ command, directive: 'demo:ping', timeoutMs: 30_000, protocol });
  try {
    await trial.broker.listen();
    trial.start();
    const { session } = await trial.online();
    await act(trial, session);
  } finally {
    await trial.close();
  }
}

async function withWork(command: string, act: (trial: Trial, session: Session, messageId: string) => Promise<void>) {
  await withDevice(command, async (trial, session) => {
    const request = trial.request(LONG_WORK);
    trial.send(session, request);
    await trial.expect(RULE, 'progress', (signal) =>
      session.next((packet) => textOf(packet).type === 'message-progress', signal),
    );
    await act(trial, session, request.message_id);
  });
}

/** SIGTERM while the goodbye waits for its first PUBACK. */
async function stopInGoodbye(trial: Trial, session: Session) {
  await trial.expect(RULE, 'offline', (signal) => session.next((packet) => textOf(packet).type === 'offline', signal));
  trial.program?.signal('SIGTERM');
  // It ignores the message. Its PUBACK shows that the signal has come.
  const id = session.publish(trial.outTopic, JSON.stringify(trial.envelope('message', { version: 2 })));
  await trial.expect(RULE, 'a PUBACK', (signal) =>
    session.next((packet) => packet.cmd === 'puback' && packet.messageId === id, signal),
  );
  session.holding = false;
  session.release();
  await trial.left(session, RULE);
  await trial.program?.ended;
}

const stopped = { type: 'message-error', payload: { details: expect.any(String) as string } };

describe.each(EXAMPLES)('the device in %s', (_language, { command }) => {
  test('answers before its goodbye', async () => {
    await withWork(command, async (trial, session, messageId) => {
      trial.program?.signal('SIGTERM');
      expect((await trial.answerTo(session, messageId, RULE)).message).toMatchObject(stopped);
      await trial.left(session, RULE);
      await trial.program?.ended;
    });
  });

  test('ends its goodbye if it is stopped twice', async () => {
    await withDevice(command, async (trial, session) => {
      session.holding = true;
      trial.program?.signal('SIGTERM');
      await stopInGoodbye(trial, session);
    });
  });

  test('ends its goodbye if it is stopped during that of a force-disconnect', async () => {
    await withDevice(command, async (trial, session) => {
      session.holding = true;
      const payload = { reconnect_after: 'PT0.1S' };
      session.publish(trial.outTopic, JSON.stringify(trial.envelope('force-disconnect', { payload })));
      await stopInGoodbye(trial, session);
    });
  });

  test('keeps the answer for its next start if there is no connection', async () => {
    await withWork(command, async (trial, session, messageId) => {
      trial.broker.policy = 'break';
      session.drop();
      trial.program?.signal('SIGTERM');
      await trial.program?.ended;
      trial.broker.policy = 'accept';
      trial.start();
      const { session: next } = await trial.online();
      expect((await trial.answerTo(next, messageId, RULE)).message).toMatchObject(stopped);
    });
  });

  test('heeds a force-disconnect at work, and sends the answers after it, also to a message that has waited', async () => {
    await withWork(command, async (trial, session, messageId) => {
      const second = trial.request(LONG_WORK);
      trial.send(session, second);
      const payload = { reconnect_after: 'PT0.1S' };
      session.publish(trial.outTopic, JSON.stringify(trial.envelope('force-disconnect', { payload })));
      await trial.left(session, RULE);
      // The work goes on.
      expect(session.packets.map(textOf).some(isAnswer)).toBe(false);
      trial.program?.signal('SIGTERM');
      await trial.program?.ended;
      trial.start();
      const { session: next } = await trial.online();
      for (const id of [messageId, second.message_id])
        expect((await trial.answerTo(next, id, RULE)).message).toMatchObject(stopped);
    });
  });
});
