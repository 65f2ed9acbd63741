/**
 * What the ingest benchmark compares with: bare MQTT.js that counts the messages of a persistent QoS 1 session.
 * `node bench/raw-consumer.mjs <mqtt url> <client id> <filter> <subscribe|consume|end>`
 * `end` removes the session with all messages in it.
 */
import mqtt from 'mqtt';

const [url = '', clientId = '', filter = '', mode = ''] = process.argv.slice(2);
const client = mqtt.connect(url, {
  protocolVersion: 5,
  clientId,
  clean: mode === 'end',
  properties: { sessionExpiryInterval: mode === 'end' ? 0 : 3600, receiveMaximum: 1000 },
});
let count = 0;
client.on('message', () => count++);
process.on('message', (ask) => {
  if (ask === 'count') process.send?.({ count, cpu: process.cpuUsage(), rss: process.memoryUsage().rss });
});
await new Promise((resolve) => client.once('connect', resolve));
if (mode !== 'consume') {
  if (mode === 'subscribe') await client.subscribeAsync({ [filter]: { qos: 1, rh: 2, rap: true } });
  await client.endAsync();
  process.exit(0);
}
