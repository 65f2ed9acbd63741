import { connectRedis } from '@app/platform';
import { freePort } from '../../../../scripts/stack.mjs';
import { quiet } from '../../../../test/support/servers.js';
import { EventNotifier } from './event-notifier.js';
import { positionAt } from './event-reader.js';
import { RegistryKeys } from '../keys.js';

it('the event bell ends a wait at once while Redis is away', async () => {
  const url = `redis://127.0.0.1:${await freePort()}`;
  const redis = connectRedis(url, { name: 'bell', whenAway: 'wait' }, quiet);
  const bell = new EventNotifier(redis, new RegistryKeys('bell'));
  await new Promise((resolve) => redis.once('reconnecting', resolve));
  const waiting = bell.wait([positionAt(0)]);
  bell.stop();
  await expect(waiting).rejects.toThrow('stopped');
});
