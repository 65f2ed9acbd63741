/**
 * Reads everything the broker retains under some filters, once, over a plain subscription. The reader holds the socket back
 * while its caller asks it to, so memory stays flat. The sentinel is subscribed when the broker has answered the other
 * subscriptions; a read that falls silent without it is truncated. Brokers may drop messages of such a read even so: what was
 * not seen is never proof of absence.
 */
import type { BrokerAccess } from './broker-access.js';
import type { MqttClient } from 'mqtt';
import { openMqtt, refusedTopic } from './mqtt-connection.js';
import { IncompleteReadError } from './retained-reader.js';

export interface SweepOptions extends BrokerAccess {
  clientId: string;
  filters: readonly string[];
  /** A topic the service keeps retained, subscribed by itself when the filters are. */
  sentinel: string;
  /** The longest silence before the read counts as truncated, in milliseconds. */
  silenceMs: number;
  signal: AbortSignal;
}

/** Takes one retained message; the read continues when the promise resolves, or at once if it returns undefined. */
export type TakeRetained = (topic: string, payload: Buffer) => Promise<void> | undefined;

/** Brokers that answer filters side by side may still be sending when the sentinel comes, in milliseconds. */
const AFTER_SENTINEL_MS = 200;

/**
 * @returns whether the sentinel came
 * @throws IncompleteReadError if the connection ended; any error that `take` rejects with
 */
export async function sweepRetained(options: SweepOptions, take: TakeRetained): Promise<'complete' | 'truncated'> {
  const { clientId, signal } = options;
  const client = openMqtt(options, { clientId, clean: true, reconnectPeriod: 0, resubscribe: false });
  const ended = new AbortController();
  try {
    return await new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(error instanceof Error ? error : new Error(String(error)));
      const broken = (why: string): void => reject(new IncompleteReadError(`the sweep ended early: ${why}`));
      signal.addEventListener('abort', () => broken('it was stopped'), { once: true, signal: ended.signal });
      client.on('close', () => broken('the connection was closed'));
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
  // A broker that lost what it retained has lost the sentinel too.
  await client.publishAsync(sentinel, 'sentinel', { qos: 1, retain: true });
  for (const some of [[...filters], [sentinel]]) {
    const granted = await client.subscribeAsync(some, { qos: 0, rh: 0, rap: false });
    const refused = refusedTopic(granted);
    if (refused !== undefined) throw new Error(`the broker refused the subscription to ${refused}`);
  }
}

function receive(
  client: MqttClient,
  { sentinel, silenceMs }: SweepOptions,
  take: TakeRetained,
  end: (how: 'complete' | 'truncated') => void,
  fail: (error: unknown) => void,
): void {
  let complete = false;
  let timer: NodeJS.Timeout | undefined;
  const listen = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => end(complete ? 'complete' : 'truncated'), complete ? AFTER_SENTINEL_MS : silenceMs);
  };
  client.on('close', () => clearTimeout(timer));
  listen();
  client.handleMessage = (packet, done) => {
    // Live messages are not of the sweep, nor do they break the silence.
    if (!packet.retain) {
      done();
      return;
    }
    if (packet.topic === sentinel) complete = true;
    const taken = packet.topic === sentinel ? undefined : take(packet.topic, packet.payload as Buffer);
    if (taken === undefined) {
      // Only moved on: a timer for each message would cost more than the message.
      if (complete) listen();
      else timer?.refresh();
      done();
      return;
    }
    // The silence while it is held back is our own.
    clearTimeout(timer);
    taken.then(() => {
      listen();
      done();
    }, fail);
  };
}
