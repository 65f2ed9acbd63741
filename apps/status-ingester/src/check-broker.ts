/**
 * `cloud-connector check-broker URL`, and in the image of the ingester `node dist/apps/status-ingester/src/check-broker.js URL`.
 * It belongs to the ingester, as `key` belongs to the gateway: it connects as the service does, and the image has it. The client
 * is for application developers, has no MQTT library and imports nothing of the service.
 */
import { once } from 'node:events';
import { checkBrokerCommand } from '@app/broker';

const { stdin, stdout, stderr } = process;
process.once('SIGINT', () => process.exit(130));

process.exitCode = await checkBrokerCommand(process.argv.slice(2), {
  stdout,
  stderr,
  untilOperator: async (signal) => {
    // Without a terminal nobody presses Enter: the connection shows when the broker restarts.
    if (!stdin.isTTY) return new Promise(() => undefined);
    await once(stdin, 'data', { signal }).catch(() => undefined);
    stdin.pause();
  },
});
