/**
 * Finds online clients for which a read returned no retained handshake, and has them read again before they go offline. A
 * broker may serve a subscription before it has retained what it delivered live. So an absence counts only if a second read,
 * some time later, confirms it, and no handshake has come in between.
 */
import { counter } from '@app/platform';
import type { TopicTemplate } from '@app/protocol';
import type { ConnectionDirectory } from '@app/registry';

const absences = counter(
  'verification_absences',
  'Online clients without a retained handshake at the first read, or at the second.',
  { read: ['first', 'second'] },
);

/** A client that was read. */
interface ReadClient {
  clientId: string;
  /** The handshake that the first read did not find. */
  missing: string | undefined;
}

export class Absences {
  constructor(
    private readonly directory: Pick<ConnectionDirectory, 'map'>,
    private readonly statusTopics: readonly TopicTemplate[],
  ) {}

  /** @returns the clients of the shard that have to be read once more */
  async toConfirm<Client extends ReadClient>(
    shard: number,
    clients: readonly Client[],
    retained: ReadonlyMap<string, Buffer>,
  ): Promise<Set<Client>> {
    const isMissing = (template: TopicTemplate, clientId: string): boolean =>
      (retained.get(template.topicOf(clientId))?.length ?? 0) === 0;
    const candidates = clients.filter(({ clientId }) => this.statusTopics.some((one) => isMissing(one, clientId)));
    const ids = candidates.map(({ clientId }) => clientId);
    const unconfirmed = new Set<Client>();
    await this.directory.map(shard, ids, (connection, i) => {
      const client = candidates[i];
      if (client === undefined) return;
      const own = this.statusTopics.find(({ template }) => template === connection?.status_topic);
      if (connection?.state !== 'online' || (own !== undefined && !isMissing(own, client.clientId))) {
        client.missing = undefined;
        return;
      }
      const handshake = `${connection.handshake_message_id} ${connection.last_live_handshake_at}`;
      const isSecond = client.missing === handshake;
      absences.inc({ read: isSecond ? 'second' : 'first' });
      if (isSecond) return;
      client.missing = handshake;
      unconfirmed.add(client);
    });
    return unconfirmed;
  }
}
