/** What the send benchmark compares Redis with: reads a stream, one message a command. Reports how many it has read. */
import { Redis } from 'ioredis';

const [url = ''] = process.argv.slice(2);
let read = 0;
const first = new Redis(url);
await first.xgroup('CREATE', 'bench-floor', 'readers', '$', 'MKSTREAM');
for (let i = 0; i < 8; i++) void readAll(first.duplicate(), `reader-${i}`);
process.on('message', () => process.send?.({ read }));
process.send?.({ ready: true });

/** @param {Redis} redis @param {string} name */
async function readAll(redis, name) {
  for (;;) {
    await redis.xreadgroup('GROUP', 'readers', name, 'COUNT', 1, 'BLOCK', 0, 'NOACK', 'STREAMS', 'bench-floor', '>');
    read++;
  }
}
