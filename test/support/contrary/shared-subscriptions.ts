/** Brokers with faults of their shared subscriptions. */
import type { Behaviour, ClientLink } from './behaviour.js';
import { isShared, matches } from './filters.js';

const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9e;

/** Refuses each SUBSCRIBE that has a shared filter. */
export const sharedRefused: Behaviour = (link) => ({
  fromClient: {
    subscribe: (packet, pass) => {
      const { messageId, subscriptions } = packet;
      if (!subscriptions.some(({ topic }) => isShared(topic))) {
        pass(packet);
        return;
      }
      const granted = subscriptions.map(() => SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
      link.toClient({ cmd: 'suback', granted, ...(messageId !== undefined && { messageId }) });
    },
  },
});

/** Drops the retain flag of each message that comes by a shared subscription, although the client asked to keep it. */
export function retainStripped(): Behaviour {
  const shared = new SharedFilters();
  return ({ clientId }) => ({
    fromClient: { subscribe: (packet, pass) => pass(shared.noted(clientId, packet)) },
    fromBroker: {
      publish: (packet, pass) =>
        pass(packet.retain && shared.has(clientId, packet.topic) ? { ...packet, retain: false } : packet),
    },
  });
}

/**
 * Falls silent on shared subscriptions: after `messages` messages that count, a connection receives nothing by them until its
 * end. The broker keeps the messages, because it gets no PUBACK. This happens `times` times.
 */
export function silentAfter(
  messages: number,
  times: number,
  doesCount: (topic: string) => boolean = () => true,
): Behaviour {
  const shared = new SharedFilters();
  let left = times;
  return ({ clientId }) => {
    let passed = 0;
    let isSilent = false;
    return {
      fromClient: { subscribe: (packet, pass) => pass(shared.noted(clientId, packet)) },
      fromBroker: {
        publish: (packet, pass) => {
          if (!shared.has(clientId, packet.topic)) {
            pass(packet);
            return;
          }
          if (!isSilent && doesCount(packet.topic) && ++passed > messages && left > 0) {
            isSilent = true;
            left--;
          }
          if (!isSilent) pass(packet);
        },
      },
    };
  };
}

/** Gives the messages of one topic to one member of a share group only, as brokers do that choose the member by the topic. */
export function topicOnOneMember(topic: string, isMember: (clientId: string) => boolean): Behaviour {
  const shared = new SharedFilters();
  let member: ClientLink | undefined;
  return (link) => {
    if (isMember(link.clientId)) member = link;
    return {
      fromClient: { subscribe: (packet, pass) => pass(shared.noted(link.clientId, packet)) },
      fromBroker: {
        publish: (packet, pass) => {
          const isOthers = packet.topic === topic && !isMember(link.clientId) && shared.has(link.clientId, topic);
          if (!isOthers || member === undefined) {
            pass(packet);
            return;
          }
          const { messageId, ...message } = packet;
          if (messageId !== undefined) link.toBroker({ cmd: 'puback', messageId, reasonCode: 0 });
          // At QoS 0: a packet id of this connection may be in use on the other one.
          member.toClient({ ...message, qos: 0, dup: false });
        },
      },
    };
  };
}

/** The shared filters of each client. A session that the broker resumes has them without a SUBSCRIBE. */
class SharedFilters {
  private readonly filters = new Map<string, Set<string>>();

  noted<Packet extends { subscriptions: readonly { topic: string }[] }>(clientId: string, packet: Packet): Packet {
    const own = this.filters.get(clientId) ?? new Set();
    for (const { topic } of packet.subscriptions) if (isShared(topic)) own.add(topic);
    this.filters.set(clientId, own);
    return packet;
  }

  has(clientId: string, topic: string): boolean {
    for (const filter of this.filters.get(clientId) ?? []) if (matches(filter, topic)) return true;
    return false;
  }
}
