/** Two times of a table, by their names: the first must not be longer than the second. */
export interface TimeOrder<Name extends string> {
  time: Name;
  atMost: Name;
  /** Why, as the end of a sentence. */
  because: string;
}

/**
 * Checks times that depend on each other when a process starts, in milliseconds, each under the name that it has in the
 * code or in the settings: whoever changes one of them learns which others it has to fit.
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
