/** How a shard publishes messages that are claimed ahead, with commands and a broker that the spec answers. */
import type { ClaimedMessage, OutboundState, OutboundStep, PublishResult } from '@app/registry';
import type { Grant } from '@app/sharding';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { OutboundShard } from './outbound-shard.js';
import type { PublishTimes } from './publishing.js';
import { Semaphore } from './semaphore.js';

const GRANT: Grant = { kind: 'outbound', index: 0, epoch: 1, fence: '1:spec' };
/** Redis' clock when it is asked first. */
const AT = 1_800_000_000_000;
const NOTHING: OutboundStep = {
  ...{
    at: AT,
    claimed: [],
    stopped: [],
    inFlight: 0,
    unread: 0,
    readyInMs: undefined,
    unreadable: 0,
    outcomeUnknown: 0,
  },
  left: { empty: 0, offline: 0, waiting: 0, interrupted: 0 },
};

function message(n: number, more: Partial<ClaimedMessage> = {}): ClaimedMessage {
  return {
    ...{ clientId: 'a', messageId: `${n}`, directive: 'd', payloadJson: undefined, expiresAt: AT + 60_000 },
    ...{ requestId: 'r', attempt: 1, createdAt: 0, isFollowed: true },
    ...more,
  };
}

function messages(from: number, to: number): ClaimedMessage[] {
  return Array.from({ length: to - from + 1 }, (_, i) => message(from + i));
}

interface Asked<Input, Reply> {
  input: Input;
  answer: (reply: Reply) => void;
}

/** A shard of which the spec answers the steps and the publishes. */
class Play {
  readonly steps: Asked<OutboundState, OutboundStep>[] = [];
  private readonly asked: Asked<OutboundState, OutboundStep>[] = [];
  readonly publishes: (Asked<ClaimedMessage, PublishResult['outcome']> & { times: PublishTimes })[] = [];
  readonly semaphore = new Semaphore(5);
  readonly shard: OutboundShard;
  isConnected = true;

  constructor(claimed: string[] = []) {
    const work = {
      step: (_: Grant, input: OutboundState) =>
        new Promise<OutboundStep>((answer) => {
          this.steps.push({ input, answer });
          this.asked.push({ input, answer });
        }),
      takeOver: () => Promise.resolve({ at: AT, newest: '0-0', clientIds: claimed }),
      close: () => Promise.resolve(),
      release: () => Promise.resolve('idle' as const),
    };
    const publishing = {
      publish: (input: ClaimedMessage, _: number, times: PublishTimes) =>
        new Promise<PublishResult>((resolve) => {
          const { clientId, messageId, attempt } = input;
          const answer = (outcome: PublishResult['outcome']): void =>
            resolve({ clientId, messageId, attempt, outcome, details: 'why' });
          this.publishes.push({ input, times, answer });
        }),
    };
    const { semaphore } = this;
    this.shard = new OutboundShard(
      { work, publishing, semaphore, isConnected: () => this.isConnected, logger: quiet },
      {
        ...{ grant: GRANT, leaseMs: 60_000, actUntil: () => Infinity },
        lost: () => undefined,
        failed: (error) => {
          throw error;
        },
        passivated: () => undefined,
      },
    );
  }

  /** Answers the steps under way, so that the shard can end. */
  answerAll(): void {
    for (const { answer } of this.asked) answer(NOTHING);
  }

  /** The next step; the spec answers it. */
  async step(): Promise<Asked<OutboundState, OutboundStep>> {
    await eventually('a step', () => expect(this.steps).toHaveLength(1));
    return this.steps.shift() as Asked<OutboundState, OutboundStep>;
  }

  /** The publish that is under way. */
  async publish(messageId: string, outcome?: PublishResult['outcome']): Promise<PublishTimes> {
    await eventually(`message ${messageId} is published`, () => expect(this.publishes).not.toHaveLength(0));
    expect(this.publishes.map(({ input }) => input.messageId)).toEqual([messageId]);
    const [one] = this.publishes as [(typeof this.publishes)[number]];
    if (outcome !== undefined) {
      this.publishes.shift();
      one.answer(outcome);
    }
    return one.times;
  }

  async sent(from: number, to: number): Promise<void> {
    for (let n = from; n <= to; n++) await this.publish(`${n}`, 'sent');
  }

  /** The connection is busy: 16 messages are claimed, of which the first is being published. */
  async busy(): Promise<void> {
    await this.shard.start();
    (await this.step()).answer({ ...NOTHING, claimed: [message(0)], inFlight: 1 });
    await this.publish('0', 'sent');
    (await this.step()).answer({ ...NOTHING, claimed: messages(1, 16), inFlight: 1 });
    await this.publish('1');
  }
}

let play: Play;

beforeEach(() => (play = new Play()));

afterEach(async () => {
  const ended = play.shard.finish(true);
  play.answerAll();
  await ended;
});

function idsOf({ results }: OutboundState): (string | undefined)[] {
  return results.map(({ messageId }) => messageId);
}

describe('a shard with a busy connection', () => {
  it('publishes what is claimed ahead one after the other, and claims further messages before it has none left', async () => {
    await play.busy();
    expect(play.semaphore.available).toBe(4);
    await play.sent(1, 8);
    const more = await play.step();
    expect(idsOf(more.input)).toEqual(['1', '2', '3', '4', '5', '6', '7', '8'].slice(0, more.input.results.length));
    expect(more.input.lastClaimed?.get('a')).toBe('16');
    // It goes on while the step is under way, even when nothing is left for a moment.
    await play.sent(9, 16);
    expect(play.publishes).toEqual([]);
    more.answer({ ...NOTHING, claimed: messages(17, 24), inFlight: 1 });
    await play.publish('17', 'sent');
    await play.publish('18');
    const next = await play.step();
    expect(idsOf(next.input)[0]).toBe(`${more.input.results.length + 1}`);
    expect(next.input.lastClaimed?.get('a')).toBe('24');
    expect(play.semaphore.available).toBe(4);
  });

  it('tells when each message was published, by the clock of Redis', async () => {
    await play.busy();
    await play.sent(1, 8);
    const { results } = (await play.step()).input;
    const times = results.map(({ publishedAt }) => publishedAt ?? NaN);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[0]).toBeGreaterThanOrEqual(AT);
  });

  it.each(['no-subscribers', 'retry', 'failed', 'unwritten'] as const)(
    'publishes nothing that follows a message that ends as %s, and completes that at once',
    async (outcome) => {
      await play.busy();
      await play.publish('1', 'sent');
      await play.publish('2', outcome);
      const { input, answer } = await play.step();
      expect([idsOf(input), input.lastClaimed?.get('a')]).toEqual([['1', '2'], undefined]);
      answer({ ...NOTHING });
      await eventually('the permit is free', () => expect(play.semaphore.available).toBe(5));
      expect(play.publishes).toEqual([]);
    },
  );

  it('drops what a step claims for a connection whose last message was not sent since', async () => {
    await play.busy();
    await play.sent(1, 8);
    const more = await play.step();
    await play.publish('9', 'no-subscribers');
    more.answer({ ...NOTHING, claimed: messages(17, 24), inFlight: 1 });
    const { input } = await play.step();
    expect([idsOf(input).at(-1), input.lastClaimed?.get('a')]).toEqual(['9', undefined]);
    expect(play.publishes).toEqual([]);
  });

  it('stops after the publish that is under way if a step says so', async () => {
    await play.busy();
    await play.sent(1, 8);
    (await play.step()).answer({ ...NOTHING, stopped: ['a'], inFlight: 1 });
    await play.publish('9', 'sent');
    const { input } = await play.step();
    expect([idsOf(input).at(-1), input.lastClaimed?.get('a')]).toEqual(['9', undefined]);
    expect(play.publishes).toEqual([]);
  });

  it('stops after the publish that is under way if it is given back', async () => {
    await play.busy();
    const finished = play.shard.finish(false);
    await play.publish('1', 'sent');
    const { input, answer } = await play.step();
    expect([idsOf(input), input.lastClaimed?.size, input.room]).toEqual([['1'], 0, 'none-goes-on']);
    answer({ ...NOTHING });
    expect(await finished).toBe('idle');
    expect([play.publishes, play.semaphore.available]).toEqual([[], 5]);
  });

  it('stops after the publish that is under way if the broker is away', async () => {
    await play.busy();
    play.isConnected = false;
    await play.publish('1', 'sent');
    const { input } = await play.step();
    expect([idsOf(input), input.lastClaimed?.size, input.room]).toEqual([['1'], 0, 'none-goes-on']);
    expect(play.publishes).toEqual([]);
  });

  it('publishes nothing more when its lease is lost', async () => {
    await play.busy();
    await play.shard.finish(true);
    await play.publish('1', 'sent');
    await Promise.resolve();
    expect([play.publishes, play.steps, play.semaphore.available]).toEqual([[], [], 5]);
  });
});

describe('a claim that is read before the first step', () => {
  it('is published: the clock of Redis is known', async () => {
    play = new Play(['b']);
    await play.shard.start();
    const first = await play.step();
    void play.shard.receive([{ id: '1-0', text: '', message: message(1), follows: undefined }]);
    const times = await play.publish('1');
    expect(times.expiresAt(message(1))).toBeGreaterThan(performance.now());
    first.answer({ ...NOTHING, inFlight: 1 });
  });
});
