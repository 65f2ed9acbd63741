/** A simulated fleet for the start command: `node scripts/fleet.mjs <count> <mqtt url>`. Every fifth is a proxy. */
import { Device, demoWork } from '../examples/device/device.mjs';

const [count = '1', url = 'mqtt://127.0.0.1:1883'] = process.argv.slice(2);
const devices = Array.from({ length: Number(count) }, (_, i) => {
  const id = `device-${String(i + 1).padStart(4, '0')}`;
  return new Device({ id, url, proxy: i % 5 === 4, onMessage: demoWork, log: (line) => console.log(`${id}: ${line}`) });
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    Promise.all(devices.map((device) => device.stop())).then(
      () => process.exit(0),
      () => process.exit(1),
    );
  });
}
