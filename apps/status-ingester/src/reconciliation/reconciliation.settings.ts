/** Settings of how often, how fast and how strictly the registry is compared with the broker. */
import { duration, integer, section } from '@app/platform';
import type { z } from 'zod';
import type { ShardingSettings } from '../sharding/sharding.settings.js';
import type { TopicsSettings } from '../topics/topics.settings.js';

export const reconciliationSettings = section('Reconciliation with the broker', {
  SWEEP_INTERVAL: duration('1h', { min: '10s' }).describe(
    'How often all clients are compared with what the broker retains. A sweep also runs after each start and after ' +
      'each possible loss of data.',
  ),
  VERIFY_RATE: integer(5000, 1, 100_000).describe(
    'Most clients a second whose retained message one ingester reads from the broker.',
  ),
  RECONFIRM_WINDOW: duration('0s').describe(
    'How long after a restart of the broker a client has to shake hands again; after it the client is offline, ' +
      '`unconfirmed`. `0s`: it need not. See [What a broker forgets](reconciliation.md#what-a-broker-forgets).',
  ),
});
/** With the settings that it shares with other features. */
export type ReconciliationSettings = z.output<z.ZodObject<typeof reconciliationSettings>> &
  TopicsSettings &
  ShardingSettings;
