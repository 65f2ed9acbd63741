/**
 * Shows progress, an answer that is an error, and an answer that comes late.
 *
 *   node work.mts [CLIENT_ID [MESSAGE_ID]]
 *
 * With MESSAGE_ID it prints the answer to that message.
 *
 * CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes messages:read, messages:write and events:read.
 */
import { CallError, CloudConnector, ProblemError, UnreachableError } from '@cloud-connector/client';

const options = {
  baseUrl: process.env['CLOUD_CONNECTOR_URL'] ?? 'http://127.0.0.1:3000',
  token: process.env['CLOUD_CONNECTOR_TOKEN'],
};
const [clientId = 'device-0001', messageId] = process.argv.slice(2);

try {
  const connector = new CloudConnector(options);
  if (messageId === undefined) await work(connector, clientId);
  else console.log((await connector.readMessage(messageId)).answer);
} catch (error) {
  if (error instanceof ProblemError) console.error('refused:', error.message, error.requestId);
  else if (error instanceof UnreachableError) console.error('no answer of the service:', error.message);
  else if (error instanceof CallError) console.error(error.message);
  // The address or the token cannot be used.
  else if (error instanceof TypeError || error instanceof RangeError) console.error(error.message);
  else throw error;
  process.exitCode = 1;
}

async function work(connector: CloudConnector, clientId: string): Promise<void> {
  const threeSteps = { directive: 'demo:work', payload: { steps: 3 } };
  const onProgress = ({ percent }: { percent: number | null }): void => console.log(percent, '%');
  console.log(await connector.call(clientId, threeSteps, { onProgress }));

  for (const [message, timeoutMs] of [
    [{ directive: 'demo:dance' }, 10_000],
    [threeSteps, 1500],
  ] as const) {
    try {
      await connector.call(clientId, message, { timeoutMs });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      console.log(error.status, error.details, error.callMessage.message_id);
    }
  }
}
