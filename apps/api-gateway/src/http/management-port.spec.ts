import { connect } from 'node:net';
import { fastify } from 'fastify';
import { freePort, gate, quiet } from '../../../../test/support/servers.js';
import { ManagementPort } from './management-port.js';

it('ManagementPort closes although a response never ends', async () => {
  const port = await freePort();
  const settings = { HOST: '127.0.0.1', REQUEST_TIMEOUT: 60_000, MAX_CONNECTIONS: 10 };
  const management = new ManagementPort({ ...settings, MANAGEMENT_PORT: port }, quiet);
  const asked = gate();
  const app = fastify();
  app.get('/metrics', () => {
    asked.open();
    return new Promise(() => undefined);
  });
  await app.ready();
  await management.open(app);
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  await asked.passed;
  await management.close();
  await closed;
});
