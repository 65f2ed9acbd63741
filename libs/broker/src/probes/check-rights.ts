/** Whether the broker lets the check use its topics: without that, nothing can be found out. */
import type { ProbeBroker } from './probe-broker.js';

const ARRIVES_MS = 3000;

/** @returns what the operator has to allow; undefined if all is allowed */
export async function missingRights(broker: ProbeBroker): Promise<string | undefined> {
  const topic = broker.topic('rights');
  const remedy = 'allow this user to publish and subscribe to cloud-connector/check/#, also through $share/';
  const client = await broker.client();
  try {
    await client.subscribe([topic]);
    await client.publish({ topic, payload: 'x' });
  } catch (error) {
    return `the broker refuses the topics of the check (${(error as Error).message}): ${remedy}`;
  }
  const arrived = await client.until(() => client.received.length > 0, ARRIVES_MS);
  return arrived ? undefined : `the broker does not deliver on ${topic}: ${remedy}`;
}
