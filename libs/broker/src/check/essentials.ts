/** What the apps cannot do without, and the line that says which of it a broker lacks. */
import { unreachable } from '@app/platform';
import type { Granted } from './granted.js';

export type Essential =
  | 'mqtt-5'
  | 'qos-1'
  | 'retained-messages'
  | 'wildcard-subscriptions'
  | 'shared-subscriptions'
  | 'retain-as-published'
  | 'levels-with-dots';

/** `publish`: the app publishes to clients. `intake`: it also receives from them. */
export type Needs = 'publish' | 'intake';

/** What a broker does without it. */
export const LACKS: Readonly<Record<Essential, string>> = {
  'mqtt-5': 'does not support MQTT 5',
  'qos-1': 'does not grant QoS 1',
  'retained-messages': 'does not keep retained messages',
  'wildcard-subscriptions': 'does not support wildcard subscriptions',
  'shared-subscriptions': 'does not deliver to shared subscriptions',
  'retain-as-published': 'does not keep the retain flag on shared subscriptions (Retain As Published)',
  'levels-with-dots': 'does not deliver topics that have a level with dots to a filter with "+"',
};

export const REMEDY: Readonly<Record<Essential, string>> = {
  'mqtt-5': 'use a broker with MQTT 5, such as Mosquitto 2',
  'qos-1': 'allow QoS 1 in its configuration, or use a broker such as Mosquitto 2',
  'retained-messages': 'allow them in its configuration, or use a broker such as Mosquitto 2',
  'wildcard-subscriptions': 'allow them in its configuration, or use a broker such as Mosquitto 2',
  'shared-subscriptions': 'allow them in its configuration, or use a broker such as Mosquitto 2',
  'retain-as-published': 'use a broker that does, such as Mosquitto 2',
  'levels-with-dots': 'use a broker that does, such as Mosquitto 2',
};

/** The cause and the remedy in one line. `url` may carry user and password, which are left out. */
export function lackingLine(url: string, essential: Essential): string {
  return `the broker at ${withoutCredentials(url)} ${LACKS[essential]}: ${REMEDY[essential]}`;
}

/** The words for a broker to which there is no connection. */
export function unreachableBroker(url: string, cause: string): string {
  return unreachable('the broker', withoutCredentials(url), cause);
}

export function withoutCredentials(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

/** The first essential that the broker says it lacks. */
export function notGranted(granted: Granted, needs: Needs): Essential | undefined {
  if (granted.maximumQos < 1) return 'qos-1';
  if (needs === 'publish') return undefined;
  if (!granted.retainAvailable) return 'retained-messages';
  if (!granted.wildcardSubscriptions) return 'wildcard-subscriptions';
  return granted.sharedSubscriptions ? undefined : 'shared-subscriptions';
}
