/**
 * Finds clients that would go offline because the broker retains nothing on the topic of their handshake. A broker may
 * serve a subscription before it has retained what it delivered live. So an absence counts only if a second read, some
 * time later, finds it again and no handshake has come in between.
 */
import { counter } from '@app/platform';
import type { TopicTemplate } from '@app/protocol';
import type { ConnectionDirectory } from '@app/registry';

const found = counter(
  'verification_absences',
  'Clients that are online, and without a retained handshake at the first read or at the second.',
  { read: ['first', 'second'] },
);

/** What a read says of one client. */
interface Read {
  clientId: string;
  /** The handshake that the first read did not find. */
  missing: string | undefined;
}

export class Absences {
  constructor(
    private readonly directory: Pick<ConnectionDirectory, 'map'>,
    private readonly statusTopics: readonly TopicTemplate[],
  ) {}

  /** @returns of these clients of a shard, those to be read once more */
  async toConfirm<R extends Read>(
    shard: number,
    reads: readonly R[],
    retained: ReadonlyMap<string, Buffer>,
  ): Promise<Set<R>> {
    const isMissing = (template: TopicTemplate, clientId: string): boolean =>
      (retained.get(template.topicOf(clientId))?.length ?? 0) === 0;
    const candidates = reads.filter(({ clientId }) => this.statusTopics.some((one) => isMissing(one, clientId)));
    const ids = candidates.map(({ clientId }) => clientId);
    const open = new Set<R>();
    await this.directory.map(shard, ids, (connection, i) => {
      const read = candidates[i];
      if (read === undefined) return;
      const own = this.statusTopics.find(({ template }) => template === connection?.status_topic);
      if (connection?.state !== 'online' || (own !== undefined && !isMissing(own, read.clientId))) {
        read.missing = undefined;
        return;
      }
      const handshake = `${connection.handshake_message_id} ${connection.last_live_handshake_at}`;
      const isSecond = read.missing === handshake;
      found.inc({ read: isSecond ? 'second' : 'first' });
      if (isSecond) return;
      read.missing = handshake;
      open.add(read);
    });
    return open;
  }
}
