/** Whether the processes of the service reach the broker. */
import type { MemberReason } from './generated/types.gen.js';

/** About a process that does not work. One of an older release does not say why; it is the broker as a rule. */
export function lacksBroker({ reason }: { reason?: MemberReason | null }): boolean {
  return (reason ?? 'broker-unreachable') === 'broker-unreachable';
}
