import type { DueWork, DueWorkOfShards } from '@app/registry';
import type { Grant, Ownership } from '@app/sharding';
import { gate, quiet } from '../../../../test/support/servers.js';
import type { Effects } from './effects.js';
import { Housekeeping } from './housekeeping.js';

const grant: Grant = { kind: 'shard', index: 1, epoch: 1, fence: '1:a' };
const nothing: DueWork = { todos: [], unreadable: [], expired: 0, forgotten: 0, more: false };

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

it('does not pile up rounds while Redis gives no answer', async () => {
  const answer = gate<DueWork>();
  const take = jest.fn<Promise<DueWork>, [Grant]>().mockReturnValueOnce(answer.passed).mockResolvedValue(nothing);
  const housekeeping = new Housekeeping(
    { held: () => [grant] } as unknown as Ownership,
    { take } as unknown as DueWorkOfShards,
    { begin: jest.fn() } as unknown as Effects,
    quiet,
  );
  housekeeping.start();
  await jest.advanceTimersByTimeAsync(600_000);
  expect(take).toHaveBeenCalledTimes(1);
  answer.open(nothing);
  await jest.advanceTimersByTimeAsync(2000);
  expect(take).toHaveBeenCalledTimes(5);
  await housekeeping.stop();
});
