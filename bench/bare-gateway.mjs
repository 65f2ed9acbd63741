/**
 * What the send benchmark compares with: bare Fastify. `POST /bare` answers; `POST /direct/:id` publishes to the device at
 * QoS 1 with MQTT.js and answers. Prints its port.
 */
import Fastify from 'fastify';
import mqtt from 'mqtt';

const client = await mqtt.connectAsync(process.argv[2] ?? '', { protocolVersion: 5 });
// Our own connections do the same: Nagle's algorithm would delay small packets.
/** @type {import('node:net').Socket} */ (/** @type {unknown} */ (client.stream)).setNoDelay(true);
const app = Fastify();
app.post('/bare', (_request, reply) => reply.status(202).send({ status: 'accepted' }));
app.post('/direct/:id', (request, reply) => {
  const { id } = /** @type {{ id: string }} */ (request.params);
  client.publish(`redhat/insights/out/${id}`, JSON.stringify(request.body), { qos: 1 });
  return reply.status(202).send({ status: 'accepted' });
});
await app.listen({ port: 0, host: '127.0.0.1' });
process.send?.({ port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port });
process.on('message', () => process.exit(0));
