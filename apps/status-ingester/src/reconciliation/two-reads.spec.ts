import type { Retained } from '@app/registry';
import { TwoReads } from './two-reads.js';

function on(body: string): Retained[] {
  return [{ topic: 'in/{clientId}', body }];
}

let reads: TwoReads;

beforeEach(() => {
  reads = new TwoReads();
});

it('a first read is not confirmed', () => {
  expect(reads.add(on('a'), '1-0')).toEqual({ noted: '1-0', isConfirmed: false });
});

it('a second read that brings the same is confirmed, if no live message came since the first one', () => {
  for (const retained of [on('a'), [], [...on('a'), { topic: 'other/{clientId}', body: 'a' }]]) {
    reads.restart();
    reads.add(retained, '1-0');
    reads.awaitSecond();
    expect(reads.add(retained, '2-0')).toEqual({ noted: '1-0', isConfirmed: true });
  }
});

it('a second read that was not waited for is not confirmed', () => {
  reads.add(on('a'), '1-0');
  expect(reads.add(on('a'), '2-0')).toEqual({ noted: '2-0', isConfirmed: false });
});

it('a second read that brings something else is the first of two again', () => {
  reads.add(on('a'), '1-0');
  reads.awaitSecond();
  expect(reads.add(on('b'), '2-0')).toEqual({ noted: '2-0', isConfirmed: false });
  reads.awaitSecond();
  expect(reads.add(on('a'), '3-0')).toEqual({ noted: '3-0', isConfirmed: false });
  reads.awaitSecond();
  expect(reads.add(on('a'), '4-0')).toEqual({ noted: '3-0', isConfirmed: true });
});

it('a read after a live message is the first one again', () => {
  reads.add(on('a'), '1-0');
  reads.awaitSecond();
  reads.restart();
  expect(reads.add(on('a'), '2-0')).toEqual({ noted: '2-0', isConfirmed: false });
});

it('the same text on another topic, or in a message that cannot be read, is something else', () => {
  const others: Retained[][] = [
    [{ topic: 'other/{clientId}', body: 'a' }],
    [{ topic: 'in/{clientId}', body: 'a', refused: 'too-large' }],
  ];
  for (const other of others) {
    reads.restart();
    reads.add(on('a'), '1-0');
    reads.awaitSecond();
    expect(reads.add(other, '2-0').isConfirmed).toBe(false);
  }
});
