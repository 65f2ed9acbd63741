import type { Cluster } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { useOutage } from '../../api/use-state-of-service.js';
import { Facts } from '../../ui/facts.js';
import { redisHealth } from '../../api/part-health.js';

/** Whether Redis answers, and how full it is. Each read of the cluster asks each master. */
export function RedisFacts({ cluster: { redis } }: { cluster: Cluster }): ReactNode {
  const { state, details } = redisHealth(redis);
  const isKnown = useOutage() === undefined;
  return (
    <Facts
      rows={[
        ['Answers', isKnown ? 'yes' : 'not known'],
        ['Masters', isKnown ? state : redis.length],
        ['Memory', details],
      ]}
    />
  );
}
