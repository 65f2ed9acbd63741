/** Whether the processes of the service reach the broker. */
import type { MemberReason } from './generated/types.gen.js';

/** Whether a process of `getCluster()` that does not work lacks the broker. One of an older release does not say why; it is the broker as a rule. */
export function lacksBroker({ reason }: { reason?: MemberReason | null }): boolean {
  return (reason ?? 'broker-unreachable') === 'broker-unreachable';
}
