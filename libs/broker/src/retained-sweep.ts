/**
 * Reads all retained messages that match some filters, once, over a plain subscription. It does not read the socket while
 * its caller is busy, so that memory stays flat. It subscribes to the sentinel after the SUBACK of the filters; if messages
 * stop before the sentinel has arrived, the read is truncated. A broker may drop messages even of a complete read, so a
 * message that was not seen proves nothing.
 */
import type { BrokerAccess } from './broker-access.js';
import type { MqttClient } from 'mqtt';
import { openMqtt, refusedTopic } from './mqtt-connection.js';
import { IncompleteReadError } from './retained-reader.js';

export interface SweepOptions extends BrokerAccess {
  clientId: string;
  filters: readonly string[];
  /** A topic on which the service keeps a retained message. It is subscribed to after the filters. */
  sentinel: string;
  /** If no message arrives for so many milliseconds, the read is truncated. */
  silenceMs: number;
  signal: AbortSignal;
}

/** Receives one retained message. The read continues when the promise resolves, or at once if there is none. */
export type OnRetained = (topic: string, payload: Buffer) => Promise<void> | undefined;

/** How long to wait after the sentinel: a broker that serves filters in parallel may still send messages then. */
export const AFTER_SENTINEL_MS = 200;

/**
 * @returns `complete` if the sentinel arrived
 * @throws IncompleteReadError if the connection ended; any error that `take` rejects with
 */
export async function sweepRetained(options: SweepOptions, take: OnRetained): Promise<'complete' | 'truncated'> {
  const { clientId, signal } = options;
  // The reply to a ping comes behind all messages that are still to be read; `silenceMs` notices a broker that is frozen.
  const client = openMqtt(options, { clientId, clean: true, reconnectPeriod: 0, resubscribe: false, keepalive: 60 });
  const ended = new AbortController();
  try {
    return await new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(error instanceof Error ? error : new Error(String(error)));
      const abort = (reason: string): void => reject(new IncompleteReadError(`the sweep ended early: ${reason}`));
      signal.addEventListener('abort', () => abort('it was stopped'), { once: true, signal: ended.signal });
      client.on('close', () => abort('the connection was closed'));
      client.on('error', fail);
      receive(client, options, take, resolve, fail);
      client.once('connect', () => {
        subscribe(client, options).catch(fail);
      });
    });
  } finally {
    ended.abort();
    client.end(true);
  }
}

async function subscribe(client: MqttClient, { filters, sentinel }: SweepOptions): Promise<void> {
  // A broker that lost its retained messages has lost the sentinel too.
  await client.publishAsync(sentinel, 'sentinel', { qos: 1, retain: true });
  for (const topics of [[...filters], [sentinel]]) {
    const granted = await client.subscribeAsync(topics, { qos: 0, rh: 0, rap: false });
    const refused = refusedTopic(granted);
    if (refused !== undefined)
      throw new Error(`the broker refused the subscription to ${refused}: allow it in its access control`);
  }
}

function receive(
  client: MqttClient,
  { sentinel, silenceMs }: SweepOptions,
  take: OnRetained,
  end: (how: 'complete' | 'truncated') => void,
  fail: (error: unknown) => void,
): void {
  let isComplete = false;
  let timer: NodeJS.Timeout | undefined;
  const restartTimer = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => end(isComplete ? 'complete' : 'truncated'), isComplete ? AFTER_SENTINEL_MS : silenceMs);
  };
  client.on('close', () => clearTimeout(timer));
  restartTimer();
  client.handleMessage = (packet, done) => {
    // Live messages are not part of the read, and do not restart its timer.
    if (!packet.retain) {
      done();
      return;
    }
    if (packet.topic === sentinel) isComplete = true;
    const taking = packet.topic === sentinel ? undefined : take(packet.topic, packet.payload as Buffer);
    if (taking === undefined) {
      // A new timer for each message would cost more than the message.
      if (isComplete) restartTimer();
      else timer?.refresh();
      done();
      return;
    }
    // No message can arrive while the socket is not read.
    clearTimeout(timer);
    taking.then(() => {
      restartTimer();
      done();
    }, fail);
  };
}
