/** Every setting of the ingester: each feature declares its own. */
import { brokerSettings, checkBrokerSettings } from '@app/broker';
import { commonSettings, integer, section } from '@app/platform';
import { z } from 'zod';
import { accountSettings, checkAccountSettings } from './accounts/accounts.settings.js';
import { intakeSettings } from './intake/intake.settings.js';
import { reconciliationSettings } from './reconciliation/reconciliation.settings.js';
import { shardSettings } from './shard/shard.settings.js';
import { shardingSettings, checkShardingSettings } from './sharding/sharding.settings.js';
import { topicsSettings } from './topics/topics.settings.js';

export const ingesterSettings = z
  .object({
    ...commonSettings,
    ...brokerSettings,
    ...section('HTTP', {
      PORT: integer(3001, 0, 65_535).describe('Port to listen on, for health and metrics.'),
    }),
    ...topicsSettings,
    ...shardingSettings,
    ...intakeSettings,
    ...reconciliationSettings,
    ...accountSettings,
    ...shardSettings,
  })
  .superRefine(checkBrokerSettings)
  .superRefine(checkAccountSettings)
  .superRefine(checkShardingSettings);
export type IngesterSettings = z.output<typeof ingesterSettings>;
