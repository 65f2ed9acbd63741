/**
 * Follows what happens, and goes on after the last event when it is started again.
 *
 *   node follow.mts [file that keeps the position, position.txt by default]
 *
 * CLOUD_CONNECTOR_URL is the gateway, CLOUD_CONNECTOR_TOKEN a key with the scopes events:read and messages:read.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { CloudConnector, ProblemError, UnreachableError } from '@cloud-connector/client';

const options = {
  baseUrl: process.env['CLOUD_CONNECTOR_URL'] ?? 'http://127.0.0.1:3000',
  token: process.env['CLOUD_CONNECTOR_TOKEN'],
};

const file = process.argv[2] ?? 'position.txt';
const lastEventId = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
const types = ['connection.online', 'connection.offline', 'message.status', 'client.message'] as const;

try {
  await follow(new CloudConnector(options));
} catch (error) {
  if (error instanceof ProblemError) console.error('refused:', error.message, error.requestId);
  else if (error instanceof UnreachableError) console.error('no answer of the service:', error.message);
  // The address or the token cannot be used.
  else if (error instanceof TypeError || error instanceof RangeError) console.error(error.message);
  else throw error;
  process.exitCode = 1;
}

/** Ends if the service is away at the start. Once it was there, the client connects again by itself. */
async function follow(connector: CloudConnector): Promise<void> {
  for await (const event of connector.events({ types, lastEventId })) {
    switch (event.type) {
      case 'connection.online':
      case 'connection.offline':
        console.log(event.client_id, event.type);
        break;
      case 'message.status':
        console.log(event.client_id, event.message_id, event.status);
        break;
      case 'client.message':
        console.log(event.client_id, 'says', event.directive, JSON.stringify(event.payload));
        break;
      case 'gap':
        console.log('events may be missing: read again what you follow');
        break;
    }
    keep(event.id);
  }
}

/** Keeps the position only after the event has been handled: so none is missed. */
function keep(id: string): void {
  writeFileSync(`${file}.new`, id);
  renameSync(`${file}.new`, file);
}
