import { Witness } from './support/witness.js';

const LEASE_MS = 2000;
let witness: Witness;

beforeEach(() => {
  witness = new Witness(LEASE_MS);
});

function acquire(time: number, fence: string, key = 'cc:{s1}:owner'): void {
  witness.see(time, ['SET', key, fence, 'PX', `${LEASE_MS}`], true);
}

function commit(time: number, fence: string, to = `${time * 10}-0`): void {
  witness.see(time, ['evalsha', 'sha', '3', 'cc:{s1}:owner', 'cc:{s1}:position', 'cc:{s1}:mailbox', fence], false);
  witness.see(time, ['GET', 'cc:{s1}:owner'], true);
  witness.see(time, ['SET', 'cc:{s1}:position', to], true);
}

function announce(fence: string): void {
  witness.see(0, ['HSET', 'cc:{s1}:lanes', '0', `${fence}:0`], true);
}

function append(fence: string): void {
  witness.see(
    0,
    [
      'evalsha',
      'sha',
      '3',
      'cc:{s1}:mailbox',
      'cc:{s1}:lanes',
      'cc:{s1}:deliveries:0',
      '0',
      fence,
      '1',
      '100',
      'entry',
    ],
    false,
  );
  witness.see(0, ['XADD', 'cc:{s1}:mailbox', '*', 'entry', 'x'], true);
}

it('the witness finds nothing wrong with owners that follow each other', () => {
  acquire(1, '1:a');
  commit(1.5, '1:a');
  witness.see(2, ['DEL', 'cc:{s1}:owner'], true);
  acquire(2, '2:b');
  commit(2.1, '2:b');
  acquire(4.1, '3:c');
  announce('1:a');
  append('1:a');
  announce('2:b');
  append('2:b');
  expect(witness.violations).toEqual([]);
  expect(witness).toMatchObject({ acquisitions: 3, commits: 2, appends: 2 });
});

it('the witness reports an epoch that does not rise', () => {
  acquire(1, '1:a');
  acquire(9, '1:b');
  expect(witness.violations).toEqual(['cc:{s1}:owner: epoch 1 follows 1']);
});

it('the witness reports a lease that is taken before it has expired, counted from its last renewal', () => {
  acquire(1, '1:a');
  witness.see(2, ['PEXPIRE', 'cc:{s1}:owner', '2000'], true);
  acquire(3.9, '2:b');
  expect(witness.violations).toEqual(["cc:{s1}:owner: 2:b took over after 1900 ms of 1:a's lease"]);
});

it('the witness reports a commit by a former owner', () => {
  acquire(1, '1:a');
  acquire(4, '2:b');
  commit(4.1, '1:a');
  expect(witness.violations).toEqual(['cc:{s1}:position: 1:a committed while 2:b is the owner']);
});

it('the witness reports an append by a former owner of the lane', () => {
  announce('1:a');
  announce('2:b');
  append('1:a');
  expect(witness.violations).toEqual(['cc:{s1}:mailbox: 1:a appended after 2:b had announced itself']);
});

it('the witness reports a position that does not rise', () => {
  acquire(1, '1:a');
  commit(1.1, '1:a', '5-0');
  commit(1.2, '1:a', '5-0');
  expect(witness.violations).toEqual(['cc:{s1}:position: moved from 5-0 to 5-0']);
});

it('the witness reports an append that is accepted twice', () => {
  announce('1:a');
  for (const sequence of [1, 2, 2]) witness.see(0, ['HSET', 'cc:{s1}:lanes', '0', `1:a:${sequence}`], true);
  expect(witness.violations).toEqual(['cc:{s1}:lanes: append 2 of lane 0 was accepted again']);
});

it('the witness reports a former owner that connects to the broker after the new owner of its lane', () => {
  const connect = (time: number, boot: string): void => witness.sawConnect(0, time, boot, () => new Set([boot]));
  acquire(1, '1:a', 'cc:{lane0}:owner');
  connect(1.1, 'a');
  acquire(4, '2:b', 'cc:{lane0}:owner');
  connect(4.1, 'b');
  expect(witness.staleConnects()).toEqual([]);
  connect(4.2, 'a');
  expect(witness.staleConnects()).toEqual(['lane 0: a connected in epoch 1, after epoch 2 had']);
});
