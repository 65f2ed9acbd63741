/**
 * Emits the events about members that come and go. They are appended after the change, since the members and the log are on different
 * hash slots: if the process dies in between, the event is missing. `GET /v1/cluster` shows the members in any case.
 */
import type { Logger, Redis } from '@app/platform';
import type { MembershipListener } from '@app/sharding';
import type { RegistryKeys } from '../keys.js';
import { appendKeySpaceEvent, type MemberRole } from './event.js';

export function memberEvents(redis: Redis, keys: RegistryKeys, role: MemberRole, logger: Logger): MembershipListener {
  return async (changes) => {
    for (const one of changes) {
      const { member } = one;
      const about = { member, role };
      try {
        await appendKeySpaceEvent(
          redis,
          keys,
          one.change === 'joined'
            ? { type: 'member.joined', ...about }
            : { type: 'member.left', ...about, reason: one.reason },
        );
      } catch (error) {
        logger.warn({ err: error, ...one }, 'the event about a member could not be stored');
      }
    }
  };
}
