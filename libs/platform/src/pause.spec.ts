import { pause } from './pause.js';

describe('pause', () => {
  it('resolves with true after its time has passed', async () => {
    expect(await pause(1, new AbortController().signal)).toBe(true);
  });

  it.each(['before', 'while'])('ends when its signal is aborted %s it waits', async (when) => {
    const abort = new AbortController();
    if (when === 'before') abort.abort();
    const paused = pause(600_000, abort.signal);
    abort.abort();
    expect(await paused).toBe(false);
  });
});
