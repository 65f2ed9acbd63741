import { mayCollect } from './memory-at-rest.js';

const MIB = 2 ** 20;
const GROWN = { utilization: 0.01, heapBytes: 70 * MIB, keptBytes: 60 * MIB, sinceMs: 30_000 };

describe('memory is given back', () => {
  it('when the process is at rest and its heap has grown', () => {
    expect(mayCollect(GROWN)).toBe(true);
  });

  it('not while the process works', () => {
    expect(mayCollect({ ...GROWN, utilization: 0.02 })).toBe(false);
  });

  it('not again while the heap is about as large as the last collection has left it', () => {
    expect(mayCollect({ ...GROWN, keptBytes: 65 * MIB })).toBe(false);
  });

  it('soon after the last time only if the heap has grown by much', () => {
    expect(mayCollect({ ...GROWN, sinceMs: 5000 })).toBe(false);
    expect(mayCollect({ ...GROWN, sinceMs: 5000, heapBytes: 200 * MIB })).toBe(true);
  });

  it('not if the heap is so large that leases could not be renewed during the collection', () => {
    expect(mayCollect({ ...GROWN, heapBytes: 600 * MIB })).toBe(false);
  });
});
