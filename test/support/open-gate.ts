/** A gate to the broker that checks nothing. */
export const openGate = {
  start: () => Promise.resolve(),
  pass: (signal: AbortSignal) => Promise.resolve(!signal.aborted),
  stop: () => undefined,
};
