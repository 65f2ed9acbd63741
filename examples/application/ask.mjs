// @ts-check
/**
 * Asks every host that is online, and one that may be away.
 *
 *   node ask.mjs [client id of the host that may be away]
 *
 * CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes connections:read, messages:read and messages:write.
 */
import { CallError, CloudConnector, ProblemError, UnreachableError } from '@cloud-connector/client';

const connector = new CloudConnector({
  baseUrl: process.env['CLOUD_CONNECTOR_URL'] ?? 'http://127.0.0.1:3000',
  token: process.env['CLOUD_CONNECTOR_TOKEN'],
});

for await (const { client_id, facts } of connector.connections({ state: 'online', type: 'host' })) {
  console.log(client_id, facts?.['fqdn']);
  await ask(client_id);
}

const away = process.argv[2];
if (away !== undefined) await order(away, `order-${away}`);

/** Sends a message, and waits for what the host answers. */
async function ask(/** @type {string} */ clientId) {
  try {
    const answer = await connector.call(
      clientId,
      { directive: 'demo:ping', payload: { hello: clientId } },
      { timeoutMs: 10_000 },
    );
    console.log(clientId, 'answered', JSON.stringify(answer));
  } catch (error) {
    if (error instanceof CallError) console.log(clientId, error.status, error.details);
    else if (error instanceof ProblemError) console.log(clientId, 'refused:', error.detail, error.requestId);
    else if (error instanceof UnreachableError) console.log(clientId, 'outcome unknown:', error.message);
    else throw error;
  }
}

/** Sends a message that waits for its host for an hour. A second run with the same key sends nothing twice. */
async function order(/** @type {string} */ clientId, /** @type {string} */ key) {
  const { message_id } = await connector.sendMessage(
    clientId,
    { directive: 'demo:work', payload: { steps: 2 }, ttl_seconds: 3600, response_timeout_seconds: 60 },
    { idempotencyKey: key },
  );
  const { status, answer } = await connector.readMessage(message_id);
  console.log(message_id, status, JSON.stringify(answer?.payload ?? null));
}
