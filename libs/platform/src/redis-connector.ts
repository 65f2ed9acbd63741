/**
 * A connector of ioredis that is ended waits two seconds for its socket to close, also if that has closed already, and
 * keeps the process from ending for as long. ioredis makes those of Sentinels and of a cluster's nodes itself, so this
 * is put right for all of them.
 */
import type { Socket } from 'node:net';
import { AbstractConnector } from 'ioredis';

interface Connector {
  connecting: boolean;
  stream?: Socket | undefined;
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its connector below
const { disconnect } = AbstractConnector.prototype;

AbstractConnector.prototype.disconnect = function (this: AbstractConnector): void {
  const connector = this as unknown as Connector;
  if (connector.stream?.destroyed === true) connector.connecting = false;
  else disconnect.call(this);
};
