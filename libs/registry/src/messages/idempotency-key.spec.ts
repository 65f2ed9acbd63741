import { CLIENT, SHARD, neighbour, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import type { AcceptOutcome, NewMessage } from './messages.js';

const DAY_MS = 86_400_000;

let bench: MessageBench;

withMessages((begun) => (bench = begun));

describe('an Idempotency-Key', () => {
  beforeEach(() => bench.become('online'));

  it('returns the first answer again, marked as replayed, and sends no new message', async () => {
    const first = await bench.accepted({ idempotencyKey: 'k' });
    const again = await bench.accept({ idempotencyKey: 'k', requestId: 'request-2' });
    expect(again).toEqual({ kind: 'accepted', shard: SHARD, replayed: true, message: first });
    expect(await bench.outbox()).toEqual([first.messageId]);
  });

  it('returns the first status, even if the client has gone offline or the message is forgotten', async () => {
    const first = await bench.accepted({ idempotencyKey: 'k' });
    await bench.become('offline');
    await bench.redis.del(bench.keys.message(SHARD, first.messageId));
    expect(await bench.accept({ idempotencyKey: 'k' })).toMatchObject({ replayed: true, message: first });
  });

  it('is not a replay if the same request is repeated after a lost reply', async () => {
    const id = bench.messages.mint(CLIENT);
    const first = await bench.accept({ messageId: id, idempotencyKey: 'k' });
    expect(await bench.accept({ messageId: id, idempotencyKey: 'k' })).toEqual(first);
    expect(first).toMatchObject({ replayed: false });
  });

  it.each<[string, Partial<NewMessage>]>([
    ['directive', { directive: 'rhc:other' }],
    ['payload', { payloadJson: '{"a":2}' }],
    ['missing payload', { payloadJson: undefined }],
    ['time to live', { ttlMs: 61_000 }],
    ['choice for offline clients', { whenOffline: 'reject' }],
  ])('is refused with another %s', async (_, other) => {
    const first = await bench.accepted({ idempotencyKey: 'k' });
    expect(await bench.accept({ idempotencyKey: 'k', ...other })).toEqual({ kind: 'mismatch' });
    expect(await bench.outbox()).toEqual([first.messageId]);
  });

  it('distinguishes a payload of null from no payload', async () => {
    await bench.accepted({ idempotencyKey: 'k', payloadJson: 'null' });
    expect(await bench.accept({ idempotencyKey: 'k', payloadJson: undefined })).toEqual({ kind: 'mismatch' });
  });

  it('belongs to one client, even if another client of the shard uses the same one', async () => {
    const first = await bench.accepted({ idempotencyKey: 'k' });
    const other = neighbour('other');
    await bench.become('online', { clientId: other });
    const outcome = await bench.accept({ clientId: other, idempotencyKey: 'k' });
    expect(outcome).toMatchObject({ kind: 'accepted', replayed: false });
    expect(outcome).not.toMatchObject({ message: { messageId: first.messageId } });
  });

  describe('used for one account', () => {
    let first: string;

    beforeEach(async () => {
      await belongTo('a');
      first = messageIdOf(await acceptFor('a'));
    });

    const belongTo = (account: string): Promise<unknown> =>
      bench.redis.hset(bench.keys.accounts(SHARD), CLIENT, account);

    const messageIdOf = (outcome: AcceptOutcome): string =>
      outcome.kind === 'accepted' ? outcome.message.messageId : outcome.kind;

    async function acceptFor(account: string | undefined, more: Partial<NewMessage> = {}): Promise<AcceptOutcome> {
      const minted = bench.minted({ idempotencyKey: 'k', ...more });
      const { outcomes } = await bench.messages.accept(SHARD, [minted], account);
      if (outcomes[0] === undefined) throw new Error('accepting a message returned no outcome');
      return outcomes[0];
    }

    it('is replayed for the account, and for a caller of all accounts', async () => {
      for (const account of ['a', undefined]) {
        expect(await acceptFor(account)).toMatchObject({ replayed: true, message: { messageId: first } });
      }
    });

    it.each(['b', undefined])(
      'is a new one after the client has moved to another account (caller bound to %s)',
      async (caller) => {
        await belongTo('b');
        const second = await acceptFor(caller);
        expect(second).toMatchObject({ kind: 'accepted', replayed: false });
        expect(await bench.outbox()).toEqual([first, messageIdOf(second)]);
        expect(await acceptFor(caller)).toMatchObject({ replayed: true, message: { messageId: messageIdOf(second) } });
      },
    );

    it('does not reveal its body to the next account', async () => {
      await belongTo('b');
      expect(await acceptFor('b', { directive: 'rhc:other' })).toMatchObject({ kind: 'accepted', replayed: false });
    });

    it('has the account of its message if an earlier release stored its answer', async () => {
      await bench.redis.hdel(bench.keys.idempotency(SHARD, CLIENT, 'k'), 'account');
      expect(await acceptFor('a')).toMatchObject({ replayed: true });
      await belongTo('b');
      expect(await acceptFor('b')).toMatchObject({ kind: 'accepted', replayed: false });
    });
  });

  it('is a new one for a caller of an account if the client had no account at first', async () => {
    const first = await bench.accepted({ idempotencyKey: 'k' });
    await bench.redis.hset(bench.keys.accounts(SHARD), CLIENT, 'a');
    expect(await bench.accept({ idempotencyKey: 'k' })).toMatchObject({ replayed: true, message: first });
    const minted = bench.minted({ idempotencyKey: 'k' });
    expect((await bench.messages.accept(SHARD, [minted], 'a')).outcomes).toMatchObject([{ replayed: false }]);
  });

  it('is remembered for 24 hours after the message was accepted', async () => {
    await bench.accepted({ idempotencyKey: 'k' });
    const left = await bench.redis.pttl(bench.keys.idempotency(SHARD, CLIENT, 'k'));
    expect(left).toBeLessThanOrEqual(DAY_MS);
    expect(left).toBeGreaterThan(DAY_MS - 60_000);
  });

  it('is not remembered longer after a replay', async () => {
    await bench.accepted({ idempotencyKey: 'k' });
    await bench.redis.pexpire(bench.keys.idempotency(SHARD, CLIENT, 'k'), 5000);
    await bench.accept({ idempotencyKey: 'k' });
    expect(await bench.redis.pttl(bench.keys.idempotency(SHARD, CLIENT, 'k'))).toBeLessThanOrEqual(5000);
  });

  it('takes no key in Redis if the request has none', async () => {
    await bench.accepted();
    expect(await bench.redis.keys(`${bench.keys.shard(SHARD)}:idempotency*`)).toEqual([]);
  });
});
