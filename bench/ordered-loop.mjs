/** What the send benchmark compares one connection with: publishes what it is told, each after the PUBACK of the one before. */
import mqtt from 'mqtt';

const client = await mqtt.connectAsync(process.argv[2] ?? '', { protocolVersion: 5 });
/** @type {import('node:net').Socket} */ (/** @type {unknown} */ (client.stream)).setNoDelay(true);
process.on('message', (messages) => {
  if (!Array.isArray(messages)) process.exit(0);
  void (async () => {
    for (const one of messages)
      await client.publishAsync('redhat/insights/out/bench-0', JSON.stringify(one), { qos: 1 });
  })();
});
process.send?.({ ready: true });
