/** Brokers whose redeliveries cannot be recognized. They concern QoS 1. */
import type { Random } from '../random.js';
import type { Behaviour } from './behaviour.js';

const IDS = 0xffff;

/** Redelivers without the DUP flag. */
export const dupDropped: Behaviour = () => ({
  fromBroker: { publish: (packet, pass) => pass(packet.dup ? { ...packet, dup: false } : packet) },
});

/** Redelivers with other packet ids: the ids of each connection are shifted by another random number. */
export function newPacketIds(random: Random): Behaviour {
  return () => {
    const shift = random.below(IDS);
    const shifted = (id: number, by: number): number => ((id - 1 + by + IDS) % IDS) + 1;
    return {
      fromBroker: {
        publish: (packet, pass) => {
          const { messageId } = packet;
          pass(messageId === undefined ? packet : { ...packet, messageId: shifted(messageId, shift) });
        },
      },
      fromClient: {
        puback: (packet, pass) => pass({ ...packet, messageId: shifted(packet.messageId ?? 1, -shift) }),
      },
    };
  };
}
