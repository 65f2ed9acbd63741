/** Brokers that send again what an earlier SUBSCRIBE of the connection brought. */
import type { IPublishPacket } from 'mqtt-packet';
import type { Behaviour } from './behaviour.js';

/**
 * Sends what the SUBSCRIBEs before it brought, the sentinel among it, before the messages of each SUBSCRIBE, like a broker that
 * is late with all of it.
 */
export const earlierFirst: Behaviour = () => {
  const earlier: IPublishPacket[] = [];
  return {
    onRead: (delivery) => {
      const steps = [...earlier, ...delivery.steps];
      earlier.push(...delivery.steps.filter((step) => typeof step !== 'number'));
      return { ...delivery, steps };
    },
  };
};

/** Supports no subscription identifiers: the CONNACK says so, and the broker refuses a SUBSCRIBE that has one. */
export const withoutIdentifiers: Behaviour = (link) => ({
  fromBroker: {
    connack: (packet, pass) =>
      pass({ ...packet, properties: { ...packet.properties, subscriptionIdentifiersAvailable: false } }),
  },
  fromClient: {
    subscribe: (packet, pass) => {
      if (packet.properties?.subscriptionIdentifier === undefined) pass(packet);
      else link.end();
    },
  },
});

/** Sends messages without the identifier of their SUBSCRIBE, as mochi does with retained ones. The CONNACK names no limit. */
export const identifiersLost: Behaviour = () => ({
  fromBroker: {
    publish: ({ properties = {}, ...packet }, pass) => {
      const others = Object.entries(properties).filter(([name]) => name !== 'subscriptionIdentifier');
      pass({ ...packet, properties: Object.fromEntries(others) });
    },
  },
});
