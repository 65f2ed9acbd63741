/** Times of a gateway that depend on each other, settings among them; checked before anything is opened. In milliseconds. */
import { assertTimeOrder, type CommonSettings, type TimeOrder } from '@app/platform';
import { STREAMS_STOP_MS } from './events/event-feed.js';
import { MANAGEMENT_CLOSE_MS } from './http/management-port.js';
import { ACCEPT_TIMEOUT_MS, RECONNECT_MS } from './messages/message-sender.js';

const CONSTANTS = {
  RECONNECT_MS,
  ACCEPT_TIMEOUT_MS,
  STREAMS_STOP_MS,
  MANAGEMENT_CLOSE_MS,
};
export type GatewayTime = keyof typeof CONSTANTS | 'SHUTDOWN_GRACE';
export type GatewayTimes = Readonly<Record<GatewayTime, number>>;

const ORDERS: readonly TimeOrder<GatewayTime>[] = [
  {
    time: 'RECONNECT_MS',
    atMost: 'ACCEPT_TIMEOUT_MS',
    because: 'a message is sent to Redis a second time after the reconnect',
  },
  {
    time: 'STREAMS_STOP_MS',
    atMost: 'SHUTDOWN_GRACE',
    because: 'event streams have to end before the process does',
  },
  {
    time: 'MANAGEMENT_CLOSE_MS',
    atMost: 'SHUTDOWN_GRACE',
    because: 'the management port has to be closed before the process ends',
  },
];

export function gatewayTimes({ SHUTDOWN_GRACE }: Pick<CommonSettings, 'SHUTDOWN_GRACE'>): GatewayTimes {
  return { ...CONSTANTS, SHUTDOWN_GRACE };
}

/** @throws RangeError if two of the times do not fit each other */
export function assertGatewayTimes(times: GatewayTimes): void {
  assertTimeOrder(times, ORDERS);
}
