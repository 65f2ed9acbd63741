/** Notices that another Redis answers, or another run of it (S0): what it held may be lost, in part or in whole. */
import { mastersMissed, mastersOf, type Redis } from './redis.js';

export class RedisRestartDetector {
  private readonly known = new Set<string>();

  constructor(private readonly redis: Redis) {}

  /**
   * Asks every master for the run it is in.
   * @returns whether one of them was not seen before; false at the first call.
   * @throws the error of a master that did not reply, if no other master has changed
   */
  async changed(): Promise<boolean> {
    const [missed] = mastersMissed(this.redis);
    const answers = await Promise.allSettled(
      mastersOf(this.redis).map((master) => master.info('server', 'replication')),
    );
    const first = this.known.size === 0;
    let changed = false;
    for (const answer of answers) {
      if (answer.status === 'rejected') continue;
      const run = /^run_id:(\S+)/m.exec(answer.value)?.[1];
      // Until a cluster has said who is who, a replica may be taken for a master.
      if (run === undefined || this.known.has(run) || !/^role:master/m.test(answer.value)) continue;
      this.known.add(run);
      changed = !first;
    }
    if (changed) return true;
    for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
    if (missed !== undefined) throw new Error(`no connection to the master ${missed}`);
    return false;
  }
}
