/** Who reaches the broker, as the processes themselves report it. */
import { lacksBroker, type Cluster } from '@cloud-connector/client';

export interface BrokerReach {
  /** Ids of the ingesters and dispatchers that do not reach it. */
  without: string[];
  /** Whether no process reaches it, although some run. */
  isLost: boolean;
}

export function brokerReach({ members, dispatchers }: Pick<Cluster, 'members' | 'dispatchers'>): BrokerReach {
  const without = [
    ...members.filter(({ fitness }) => fitness !== 'fit'),
    ...dispatchers.filter(({ takes_shards: works }) => !works),
  ]
    .filter(lacksBroker)
    .map(({ id }) => id);
  return { without, isLost: without.length > 0 && without.length === members.length + dispatchers.length };
}
