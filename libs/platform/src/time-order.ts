/** `time` must not be longer than `atMost`; both are names of a table of times. */
export interface TimeOrder<Name extends string> {
  time: Name;
  atMost: Name;
  /** The reason, as the end of a sentence. */
  because: string;
}

/**
 * Checks, at the start of a process, times that depend on each other. They are in milliseconds, and have the names that they
 * have in the code or in the settings, so that the error says which other time a changed one must fit.
 * @throws RangeError that names both times
 */
export function assertTimeOrder<Name extends string>(
  times: Readonly<Record<Name, number>>,
  orders: readonly TimeOrder<Name>[],
): void {
  for (const { time, atMost, because } of orders) {
    if (times[time] <= times[atMost]) continue;
    throw new RangeError(
      `${time} (${times[time]} ms) must not be longer than ${atMost} (${times[atMost]} ms), because ${because}`,
    );
  }
}
