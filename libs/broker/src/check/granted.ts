/** What the CONNACK of a broker grants. A property that it does not name has the default of MQTT 5. */
import type { IConnackPacket } from 'mqtt';
import { NEVER_EXPIRES } from '../mqtt-connection.js';

export interface Granted {
  /** How long the broker keeps a session without a connection, of the time that was asked for; null: it names no limit, and may have one. */
  sessionExpirySeconds: number | null;
  /** How many publishes at QoS 1 may wait for their PUBACK. */
  receiveMaximum: number;
  /** Largest packet in bytes; null: no limit. */
  maximumPacketSize: number | null;
  maximumQos: number;
  retainAvailable: boolean;
  sharedSubscriptions: boolean;
  wildcardSubscriptions: boolean;
  /** The keep-alive that the broker asks for; null: that of the client. */
  serverKeepAliveSeconds: number | null;
}

/** `asked`: the session expiry in the CONNECT. */
export function readGranted(properties: IConnackPacket['properties'], asked = NEVER_EXPIRES): Granted {
  const sessionExpiry = properties?.sessionExpiryInterval ?? asked;
  return {
    sessionExpirySeconds: sessionExpiry === NEVER_EXPIRES ? null : sessionExpiry,
    receiveMaximum: properties?.receiveMaximum ?? 65_535,
    maximumPacketSize: properties?.maximumPacketSize ?? null,
    maximumQos: properties?.maximumQoS ?? 2,
    retainAvailable: properties?.retainAvailable ?? true,
    sharedSubscriptions: properties?.sharedSubscriptionAvailable ?? true,
    wildcardSubscriptions: properties?.wildcardSubscriptionAvailable ?? true,
    serverKeepAliveSeconds: properties?.serverKeepAlive ?? null,
  };
}

type GrantedFields = Record<
  'session_expiry_seconds' | 'maximum_packet_size' | 'server_keep_alive_seconds',
  number | null
> &
  Record<'receive_maximum' | 'maximum_qos', number> &
  Record<'retain_available' | 'shared_subscriptions' | 'wildcard_subscriptions', boolean>;

/** By the names in log lines, reports and the API. */
export function grantedFields(granted: Granted): GrantedFields {
  return {
    session_expiry_seconds: granted.sessionExpirySeconds,
    receive_maximum: granted.receiveMaximum,
    maximum_packet_size: granted.maximumPacketSize,
    maximum_qos: granted.maximumQos,
    retain_available: granted.retainAvailable,
    shared_subscriptions: granted.sharedSubscriptions,
    wildcard_subscriptions: granted.wildcardSubscriptions,
    server_keep_alive_seconds: granted.serverKeepAliveSeconds,
  };
}
