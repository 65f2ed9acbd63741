import type { ClaimedMessage, PublishResult } from '@app/registry';
import { ClaimQueue } from './claim-queue.js';
import { ClaimQueues } from './claim-queues.js';

function message(messageId: string, more: Partial<ClaimedMessage> = {}): ClaimedMessage {
  return {
    ...{ clientId: 'a', messageId, directive: 'd', payloadJson: undefined, expiresAt: 0 },
    ...{ requestId: 'r', attempt: 1, createdAt: 0, isFollowed: false },
    ...more,
  };
}

function withPermit(...ids: string[]): ClaimQueue {
  const [first = '', ...others] = ids;
  const queue = new ClaimQueue(message(first));
  queue.permit = 'held';
  for (const id of others) queue.append(message(id));
  return queue;
}

describe('the queue of a connection', () => {
  it('gives out its messages in order, each after the one before was sent', () => {
    const queue = withPermit('1', '2', '3');
    expect([queue.next()?.messageId, queue.next()]).toEqual(['1', undefined]);
    queue.completed(true);
    expect([queue.next()?.messageId, queue.next()]).toEqual(['2', undefined]);
    queue.completed(true);
    queue.append(message('4'));
    expect(queue.next()?.messageId).toBe('3');
    queue.completed(true);
    expect(queue.next()?.messageId).toBe('4');
  });

  it('gives out nothing without a permit', () => {
    const queue = new ClaimQueue(message('1'));
    expect(queue.next()).toBeUndefined();
    queue.permit = 'held';
    expect(queue.next()?.messageId).toBe('1');
  });

  it('gives out nothing more after a message that was not sent, not even what is claimed later', () => {
    const queue = withPermit('1', '2');
    queue.next();
    queue.completed(false);
    queue.append(message('3'));
    expect([queue.next(), queue.lastClaimed]).toEqual([undefined, undefined]);
  });

  it('holds what it will not publish until the publish that is under way has its result', () => {
    const queue = withPermit('1', '2');
    queue.next();
    queue.stop();
    expect(queue.lastClaimed).toBe('2');
    queue.completed(true);
    expect([queue.next(), queue.lastClaimed]).toEqual([undefined, undefined]);
  });

  it('holds nothing when its last message is completed', () => {
    const queue = withPermit('1');
    expect(queue.lastClaimed).toBe('1');
    queue.next();
    expect(queue.lastClaimed).toBe('1');
    queue.completed(true);
    expect(queue.lastClaimed).toBeUndefined();
  });

  it('knows its messages, and the last of their attempts', () => {
    const queue = withPermit('1', '2');
    const first = queue.next();
    expect(queue.knows(message('1', { attempt: 3 }))).toBe(true);
    expect(queue.knows(message('1', { attempt: 2 }))).toBe(true);
    expect(first?.attempt).toBe(3);
    expect([queue.knows(message('2')), queue.knows(message('3'))]).toEqual([true, false]);
  });
});

describe('a step for a connection', () => {
  it('is needed at once if another message waits for the completion of a single one', () => {
    const queue = withPermit('1');
    queue.next();
    queue.completed(true);
    expect(queue.needsStep).toBe(false);
    queue.followed();
    expect(queue.needsStep).toBe(true);
  });

  it('is needed at once if a message was not sent', () => {
    const queue = withPermit('1');
    queue.next();
    queue.completed(false);
    expect(queue.needsStep).toBe(true);
  });

  it('is needed when half of the 16 messages in flight are left and others wait behind them', () => {
    const queue = withPermit(...Array.from({ length: 16 }, (_, i) => `${i}`));
    queue.followed();
    let left = 16;
    for (; !queue.needsStep; left--) {
      queue.next();
      queue.completed(true);
    }
    expect(left).toBe(8);
  });

  it('is not needed before the last of its messages is sent if no others wait', () => {
    const queue = withPermit('1', '2');
    queue.next();
    queue.completed(true);
    expect(queue.needsStep).toBe(false);
    queue.next();
    queue.completed(true);
    // The connection was busy: more may have been accepted since.
    expect(queue.needsStep).toBe(true);
  });
});

describe('the queues of a shard', () => {
  const sent = (clientId: string, messageId: string): PublishResult => ({
    ...{ clientId, messageId, attempt: 1, outcome: 'sent' },
  });

  it('take what a step has claimed, each connection in order, and pass over what they know', () => {
    const queues = new ClaimQueues();
    const begun = queues.begin(message('1'));
    const grown = queues.take([message('1'), message('2'), message('x', { clientId: 'b' })]);
    expect([...grown].map(({ clientId }) => clientId)).toEqual(['a', 'b']);
    expect([begun.lastClaimed, queues.size, queues.permitted]).toEqual(['2', 2, 0]);
  });

  it('tell which connections are completed, and what is held of the others', () => {
    const queues = new ClaimQueues();
    const [, b] = [...queues.take([message('1'), message('2'), message('x', { clientId: 'b' })])];
    if (b !== undefined) b.permit = 'held';
    expect(queues.permitted).toBe(1);
    b?.next();
    b?.completed(true);
    const { queues: completed, lastClaimed } = queues.completedBy([sent('a', '0'), sent('b', 'x'), sent('gone', 'y')]);
    expect([completed, [...lastClaimed]]).toEqual([[b], [['a', '2']]]);
  });

  it('keep a connection that the accept script has claimed for again', () => {
    const queues = new ClaimQueues();
    const former = queues.begin(message('1'));
    const queue = queues.begin(message('2'));
    queues.forget(former);
    expect(queues.get('a')).toBe(queue);
    queues.forget(queue);
    expect(queues.size).toBe(0);
  });
});
