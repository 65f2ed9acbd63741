/** The number of connections by state and type, as the REST API shows it. */
import type { Summary } from '@app/registry';
import { z } from 'zod';
import { countOf } from './values.dto.js';

const counts = z
  .object({
    host: countOf('How many are hosts.'),
    proxy: countOf('How many are proxies.'),
    total: countOf('How many there are.'),
  })
  .meta({ id: 'ConnectionCounts', description: 'Numbers of connections, by type.' });
export const SummaryBody = z
  .object({
    online: counts.meta({ description: 'Those that are online.' }),
    offline: counts.meta({ description: 'Those that are offline.' }),
    total: countOf('All connections.'),
  })
  .meta({ id: 'ConnectionSummary', description: 'Numbers of connections, by state and type.' });
export type SummaryBody = z.infer<typeof SummaryBody>;

export function toSummaryBody({ online, offline }: Summary): SummaryBody {
  const total = (counts: Summary['online']): number => counts.host + counts.proxy;
  return {
    online: { ...online, total: total(online) },
    offline: { ...offline, total: total(offline) },
    total: total(online) + total(offline),
  };
}
