/**
 * The devices of the call benchmark, in a process of their own: `node bench/answering-devices.mjs <mqtt url>`. On one MQTT
 * connection they answer each call with its payload, those of the service and those of the bare way, which has topics of its own.
 * Messages that are only sent get no answer, nor do those of the service itself.
 */
import mqtt from 'mqtt';

const client = await mqtt.connectAsync(process.argv[2] ?? '', { protocolVersion: 5 });
/** @type {import('node:net').Socket} */ (/** @type {unknown} */ (client.stream)).setNoDelay(true);
client.on('message', (topic, data) => {
  const { directive, message_id, payload } = JSON.parse(data.toString());
  if (directive !== 'bench:call') return;
  const answer = {
    ...{ type: 'message-response', message_id: `answer-${message_id}`, version: 1, sent: new Date().toISOString() },
    ...{ in_response_to: message_id, payload },
  };
  client.publish(topic.replace('/out/', '/in/'), JSON.stringify(answer), { qos: 1 });
});
await client.subscribeAsync(['redhat/insights/out/+', 'bare/out/+'], { qos: 1 });
process.send?.('ready');
process.on('message', () => process.exit(0));
