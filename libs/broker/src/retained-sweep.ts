/**
 * Reads everything the broker retains under some filters, once, over a plain subscription. The reader holds the
 * socket back while its caller works, so memory stays flat. The sentinel comes last; a read that ends without it is
 * incomplete. Brokers may drop messages of such a read, so what was not seen is never proof of absence.
 */
import type { BrokerAccess } from './broker-access.js';
import { openMqtt } from './mqtt-connection.js';

export interface SweepOptions extends BrokerAccess {
  clientId: string;
  filters: readonly string[];
  /** A topic the service keeps retained, subscribed last. */
  sentinel: string;
  /** The longest silence before the read counts as broken off, in milliseconds. */
  silenceMs: number;
  signal: AbortSignal;
}

/** Takes one retained message; the read goes on when it has resolved, or at once where it returns nothing. */
export type TakeRetained = (topic: string, payload: Buffer) => Promise<void> | undefined;

/** @returns whether the sentinel was reached. */
export async function sweepRetained(options: SweepOptions, take: TakeRetained): Promise<boolean> {
  const { clientId, filters, sentinel, silenceMs, signal } = options;
  const client = openMqtt(options, { clientId, clean: true, reconnectPeriod: 0, resubscribe: false });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      const silence = setTimeout(() => resolve(false), silenceMs);
      const over = (): void => {
        clearTimeout(silence);
        resolve(false);
      };
      signal.addEventListener('abort', over, { once: true });
      client.on('close', over);
      client.on('error', (error) => reject(error));
      client.handleMessage = (packet, done) => {
        silence.refresh();
        if (!packet.retain) {
          done();
          return;
        }
        if (packet.topic === sentinel) {
          clearTimeout(silence);
          resolve(true);
          done();
          return;
        }
        const taken = take(packet.topic, packet.payload as Buffer);
        if (taken === undefined) done();
        else
          taken.then(
            () => {
              silence.refresh();
              done();
            },
            (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))),
          );
      };
      client.once('connect', () => {
        client.publish(sentinel, 'sentinel', { qos: 1, retain: true }, () => {
          client.subscribe([...filters, sentinel], { qos: 0, rh: 0, rap: false }, (error, grants) => {
            const refused = grants?.find(({ qos }) => qos >= 0x80);
            if (error != null) reject(error);
            else if (refused !== undefined)
              reject(new Error(`the broker refused the subscription to ${refused.topic}`));
          });
        });
      });
    });
  } finally {
    client.end(true);
  }
}
