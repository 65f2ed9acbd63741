/** What the send benchmark compares with: a bare BullMQ worker whose jobs do nothing. Reports how many it has done. */
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';

const connection = new Redis(process.argv[2] ?? '', { maxRetriesPerRequest: null });
let done = 0;
const worker = new Worker('bare', () => Promise.resolve(done++), {
  connection,
  concurrency: 50,
  removeOnComplete: { count: 0 },
});
await worker.waitUntilReady();
process.on('message', () => process.send?.({ done }));
process.send?.({ ready: true });
