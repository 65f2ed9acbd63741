/** The memory of Redis above which gateways accept no messages, and ingesters keep no large payloads of answers: one setting for both. */
import { parseMemoryMark, parsed } from '@app/platform';

export const memoryHighWater = parsed('0.85', parseMemoryMark).describe(
  'Share of `maxmemory` of Redis, or number of bytes, above which new messages get 503 `storage-full`, and answers of clients are ' +
    'stored without their payload if that is larger than 2 KiB. See [A Redis that fills up](operations.md#a-redis-that-fills-up).',
);
