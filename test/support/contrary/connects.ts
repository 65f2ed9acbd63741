/** Brokers that refuse some connections, or grant less than the client asks for. */
import type { Random } from '../random.js';
import type { Behaviour, ClientLink, PacketOf } from './behaviour.js';

/** DISCONNECT reason of MQTT 5. */
const RECEIVE_MAXIMUM_EXCEEDED = 0x93;

export type Granted = NonNullable<PacketOf<'connack'>['properties']>;

/** Of HiveMQ CE 2025.5, by its defaults. */
export const HIVEMQ_LIMITS: Granted = { receiveMaximum: 10, topicAliasMaximum: 5, maximumPacketSize: 268_435_460 };
/** Of FlashMQ 1.26, by its defaults; 14 days. */
export const FLASHMQ_LIMITS: Granted = { receiveMaximum: 512, sessionExpiryInterval: 1_209_600 };

/** Refuses CONNECTs as long as `isRefused` says so, like a broker that is busy or reloads its users. */
export function refusedConnects(isRefused: (clientId: string) => boolean): Behaviour {
  return (link) => ({
    fromClient: {
      connect: (packet, pass) => {
        if (isRefused(packet.clientId)) link.refuse();
        else pass(packet);
      },
    },
  });
}

/** Refuses one of `every` CONNECTs. */
export function sometimesRefusedConnects(every: number, random: Random): Behaviour {
  return refusedConnects(() => random.below(every) === 0);
}

/** Names these limits in each CONNACK of MQTT 5, and ends a connection that exceeds the receive maximum. */
export function granted(limits: Granted): Behaviour {
  return (link) => {
    let inFlight = 0;
    return {
      fromClient: {
        publish: (packet, pass) => {
          if (packet.qos > 0 && ++inFlight > (limits.receiveMaximum ?? Infinity)) endExceeding(link);
          else pass(packet);
        },
      },
      fromBroker: {
        connack: (packet, pass) => pass({ ...packet, properties: { ...packet.properties, ...limits } }),
        puback: (packet, pass) => {
          inFlight--;
          pass(packet);
        },
        pubcomp: (packet, pass) => {
          inFlight--;
          pass(packet);
        },
      },
    };
  };
}

function endExceeding(link: ClientLink): void {
  link.toClient({ cmd: 'disconnect', reasonCode: RECEIVE_MAXIMUM_EXCEEDED });
  link.end();
}
