/** The number of connections by state and type, as the REST API shows it. */
import type { Summary } from '@app/registry';
import { z } from 'zod';

const counts = z.object({ host: z.int(), proxy: z.int(), total: z.int() });
export const SummaryBody = z
  .object({ online: counts, offline: counts, total: z.int() })
  .meta({ id: 'ConnectionSummary' });
export type SummaryBody = z.infer<typeof SummaryBody>;

export function toSummaryBody({ online, offline }: Summary): SummaryBody {
  const total = (counts: Summary['online']): number => counts.host + counts.proxy;
  return {
    online: { ...online, total: total(online) },
    offline: { ...offline, total: total(offline) },
    total: total(online) + total(offline),
  };
}
