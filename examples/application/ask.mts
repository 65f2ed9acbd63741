/**
 * Asks every host that is online, and one that may be away.
 *
 *   node ask.mts [CLIENT_ID KEY]
 *
 * CLIENT_ID is the host that may be away, KEY a name of your choice for what is sent to it.
 *
 * CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes connections:read, messages:read and messages:write.
 */
import { CallError, CloudConnector, ProblemError, UnreachableError } from '@cloud-connector/client';

const options = {
  baseUrl: process.env['CLOUD_CONNECTOR_URL'] ?? 'http://127.0.0.1:3000',
  token: process.env['CLOUD_CONNECTOR_TOKEN'],
};
const [away, key] = process.argv.slice(2);
if (away !== undefined && key === undefined) {
  console.error('usage: node ask.mts [CLIENT_ID KEY]');
  process.exit(2);
}

try {
  const connector = new CloudConnector(options);
  for await (const { client_id, facts } of connector.connections({ state: 'online', type: 'host' })) {
    console.log(client_id, facts?.['fqdn']);
    await ask(connector, client_id);
  }
  if (away !== undefined && key !== undefined) await order(connector, away, key);
} catch (error) {
  if (error instanceof ProblemError) console.error('refused:', error.message, error.requestId);
  else if (error instanceof UnreachableError) console.error('no answer of the service:', error.message);
  // The address or the token cannot be used.
  else if (error instanceof TypeError || error instanceof RangeError) console.error(error.message);
  else throw error;
  process.exitCode = 1;
}

/** Sends a message, and waits for what the host answers. */
async function ask(connector: CloudConnector, clientId: string): Promise<void> {
  try {
    const message = { directive: 'demo:ping', payload: { hello: clientId } };
    const answer = await connector.call(clientId, message, { timeoutMs: 10_000 });
    console.log(clientId, 'answered', JSON.stringify(answer));
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    console.log(clientId, error.status, error.details);
  }
}

/** Sends a message that waits for its host for an hour. A second run with the same key sends nothing twice. */
async function order(connector: CloudConnector, clientId: string, idempotencyKey: string): Promise<void> {
  const { message_id } = await connector.sendMessage(
    clientId,
    { directive: 'demo:work', payload: { steps: 2 }, ttl_seconds: 3600, response_timeout_seconds: 60 },
    { idempotencyKey },
  );
  const { status, answer } = await connector.readMessage(message_id);
  console.log(message_id, status, JSON.stringify(answer?.payload ?? null));
}
