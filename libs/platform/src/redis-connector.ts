/**
 * When a connector of ioredis is ended, it sets a timer of two seconds after which it destroys its socket. If the socket has
 * closed already, nothing clears the timer, and the process cannot end before it fires. The prototype is patched because
 * ioredis itself creates the connectors to Sentinels and to the nodes of a cluster.
 */
import type { Socket } from 'node:net';
import { AbstractConnector } from 'ioredis';

interface Connector {
  connecting: boolean;
  stream?: Socket | undefined;
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- it is called with its connector below
const { disconnect } = AbstractConnector.prototype;

AbstractConnector.prototype.disconnect = function (this: AbstractConnector): void {
  const connector = this as unknown as Connector;
  if (connector.stream?.destroyed === true) connector.connecting = false;
  else disconnect.call(this);
};
