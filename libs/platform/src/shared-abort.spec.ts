import { getEventListeners } from 'node:events';
import { linkedAbort, sharedAbort } from './shared-abort.js';

it('linkedAbort aborts when one of its signals is aborted, with the same reason', () => {
  const sources = [sharedAbort(), sharedAbort()];
  for (const source of sources) {
    const { signal } = linkedAbort(...sources.map((one) => one.signal));
    expect(signal.aborted).toBe(sources.some((one) => one.signal.aborted));
    source.abort(new Error('over'));
    expect(signal.reason).toEqual(new Error('over'));
  }
});

it('linkedAbort removes its listeners at unlink', () => {
  const source = sharedAbort();
  const { signal, unlink } = linkedAbort(source.signal);
  unlink();
  expect(getEventListeners(source.signal, 'abort')).toEqual([]);
  source.abort();
  expect(signal.aborted).toBe(false);
});
