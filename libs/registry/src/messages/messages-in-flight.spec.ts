/** How many messages of a payer are in flight in a shard: a gateway paces its responses by it. */
import {
  neighbour,
  withMessages,
  CLIENT,
  OUTBOUND,
  SHARD,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { recountBytes } from './byte-budget.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

const OTHER = neighbour(CLIENT);

beforeEach(async () => {
  for (const clientId of [CLIENT, OTHER]) await bench.become('online', { clientId });
  await bench.redis.set(bench.keys.owner(OUTBOUND), OUTBOUND.fence);
});

/** Accepts a message for a client. @returns its id, and how many of its payer are in flight then */
async function accept(payer: string, clientId = CLIENT): Promise<{ messageId: string; inFlight: number }> {
  const message = bench.minted({ clientId });
  const { inFlight } = await bench.messages.accept(SHARD, [message], undefined, { payer });
  return { messageId: message.messageId, inFlight };
}

describe('the number of messages in flight that the accept script returns', () => {
  it('counts the messages of the payer, the new one among them, and not those of others', async () => {
    expect((await accept('key:1')).inFlight).toBe(1);
    expect((await accept('key:2', OTHER)).inFlight).toBe(1);
  });

  it('does not count messages that are held or wait behind others', async () => {
    expect((await accept('key:1')).inFlight).toBe(1);
    expect((await accept('key:1')).inFlight).toBe(1);
    await bench.become('offline', { clientId: OTHER });
    expect((await accept('key:1', OTHER)).inFlight).toBe(1);
  });

  it('counts what a step claims, and no longer what it has completed, whatever the outcome', async () => {
    const first = await accept('key:1');
    const second = await accept('key:1');
    const claim = { clientId: CLIENT, messageId: first.messageId, attempt: 1 };
    await bench.work.step(OUTBOUND, { readTo: undefined, room: 0, results: [{ ...claim, outcome: 'sent' }] });
    expect((await accept('key:1', OTHER)).inFlight).toBe(2);
    const next = { ...claim, messageId: second.messageId };
    await bench.work.step(OUTBOUND, { readTo: undefined, room: 0, results: [{ ...next, outcome: 'no-subscribers' }] });
    expect((await accept('key:1')).inFlight).toBe(1);
  });

  it('is zero when the owner has gone, and is recounted', async () => {
    await accept('key:1');
    await bench.own();
    await bench.redis.hset(bench.keys.outboxBytes(SHARD), 'in_flight:key:1', 7);
    expect(
      await recountBytes(bench.redis, bench.keys, { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' }),
    ).toBe(true);
    expect((await accept('key:1')).inFlight).toBe(1);
    await bench.work.release(OUTBOUND, undefined);
    expect((await accept('key:1')).inFlight).toBe(0);
  });
});
