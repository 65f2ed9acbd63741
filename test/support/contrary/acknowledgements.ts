/** Brokers that withhold PUBACKs or SUBACKs, or hide what a PUBACK says. */
import type { Behaviour } from './behaviour.js';

const SUCCESS = 0x00;
const NO_MATCHING_SUBSCRIBERS = 0x10;

/** Never says that a message has no subscribers. */
export const noSubscribersHidden: Behaviour = () => ({
  fromBroker: {
    puback: (packet, pass) =>
      pass(packet.reasonCode === NO_MATCHING_SUBSCRIBERS ? { ...packet, reasonCode: SUCCESS } : packet),
  },
});

/** The broker does not get the PUBACKs of these clients, so it delivers their messages again in the next connection. */
export function acknowledgementsLost(isLost: (clientId: string) => boolean): Behaviour {
  return ({ clientId }) => ({
    fromClient: {
      puback: (packet, pass) => {
        if (!isLost(clientId)) pass(packet);
      },
    },
  });
}

/** Drops the next `count` SUBACKs. */
export function withheldSubacks(count: number): Behaviour {
  let left = count;
  return () => ({
    fromBroker: {
      suback: (packet, pass) => {
        if (left-- <= 0) pass(packet);
      },
    },
  });
}

/** Drops PUBACKs until `release`. */
export class WithheldPubacks {
  count = 0;
  private isReleased = true;

  withhold(): void {
    this.isReleased = false;
  }

  release(): void {
    this.isReleased = true;
  }

  readonly behaviour: Behaviour = () => ({
    fromBroker: {
      puback: (packet, pass) => {
        if (this.isReleased) pass(packet);
        else this.count++;
      },
    },
  });
}
