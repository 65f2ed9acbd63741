/** A gate to the broker that checks nothing. */
export const openGate = {
  start: (): Promise<void> => Promise.resolve(),
  pass: (signal: AbortSignal): Promise<boolean> => Promise.resolve(!signal.aborted),
  connectionLost: (): void => undefined,
  stop: (): Promise<void> => Promise.resolve(),
};
