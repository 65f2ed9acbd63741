/** How a lane has connected. */
export interface LaneConnected {
  /** The broker kept the lane's session. */
  sessionPresent: boolean;
  /** It was connected before, in this process. */
  again: boolean;
}

/** Announces that a lane has connected. The intake need not know who wants to know. */
export class LaneConnections {
  private readonly listeners: ((how: LaneConnected) => void)[] = [];

  onConnected(listener: (how: LaneConnected) => void): void {
    this.listeners.push(listener);
  }

  announce(how: LaneConnected): void {
    for (const listener of this.listeners) listener(how);
  }
}
