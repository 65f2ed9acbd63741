import { RegistryKeys, type KeySpaceEvent } from '@app/registry';
import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { SweepReport } from './sweep-report.js';

let redis: Redis;

withRedis((connection) => {
  redis = connection;
});

it('the log and the event of an incomplete sweep name its reason, beside the counts of corrections', async () => {
  const keys = new RegistryKeys('report');
  const info = jest.spyOn(quiet, 'info');
  const sweeps = { save: () => Promise.resolve(), end: () => Promise.resolve(false) };
  const report = new SweepReport({ redis, keys, sweeps, member: 'a', logger: quiet }, 'one', 'request', () => 7);
  report.record.complete = false;
  report.record.incompleteReason = 'cut-short';
  report.record.corrections = { online: 1, updated: 2, offline: 3, reason: 4, none: 5 };
  await report.end();

  const named = { sweep: 'one', complete: false, incomplete_reason: 'cut-short', read: 7 };
  expect(info).toHaveBeenLastCalledWith(expect.objectContaining({ ...named, reason: 4 }), 'sweep ended');
  const [[, fields] = ['', []]] = await redis.xrange(keys.events(0), '-', '+');
  const event = JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as KeySpaceEvent;
  expect(event).toMatchObject({ type: 'sweep.ended', ...named, corrections: { reason: 4 } });
  info.mockRestore();
});
