/** Tells listeners in other features that a lane has connected, so that the intake does not import them. */

export interface LaneConnect {
  /** Whether the broker still had the lane's session. */
  sessionPresent: boolean;
  /** Whether the lane was connected before under the same grant, and had lost the broker. */
  isReconnect: boolean;
  /** Whether it was connected again only to check it, nothing had waited for it, and no sweep is due. */
  isIdle: boolean;
}

export class LaneConnections {
  private readonly listeners: ((connect: LaneConnect) => void)[] = [];

  onConnected(listener: (connect: LaneConnect) => void): void {
    this.listeners.push(listener);
  }

  announce(connect: LaneConnect): void {
    for (const listener of this.listeners) listener(connect);
  }
}
