/**
 * What the send and the call benchmark compare with: bare Fastify. `POST /bare` answers; `POST /direct/:id` publishes to the
 * device at QoS 1 with MQTT.js and answers; `POST /call/:id` answers with what the device answers. Prints its port.
 */
import { randomUUID } from 'node:crypto';
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
/** @type {Map<string, (answer: unknown) => void>} */
const calls = new Map();
client.on('message', (_topic, data) => {
  const { in_response_to, payload } = JSON.parse(data.toString());
  calls.get(in_response_to)?.(payload);
  calls.delete(in_response_to);
});
await client.subscribeAsync('bare/in/+', { qos: 1 });
app.post('/call/:id', async (request) => {
  const { id } = /** @type {{ id: string }} */ (request.params);
  const message_id = randomUUID();
  const answered = new Promise((resolve) => calls.set(message_id, resolve));
  client.publish(`bare/out/${id}`, JSON.stringify({ .../** @type {object} */ (request.body), message_id }), { qos: 1 });
  return { status: 'answered', answer: { payload: await answered } };
});
await app.listen({ port: 0, host: '127.0.0.1' });
process.send?.({ port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port });
process.on('message', () => process.exit(0));
