/** Detects that Redis has restarted, or that another Redis answers (S0): stored data may be lost. */
import { mastersOf, unreachableMasters, type Redis } from './redis.js';

export class RedisRestartDetector {
  private readonly knownRuns = new Set<string>();

  constructor(private readonly redis: Redis) {}

  /**
   * Asks every master for its run id, which changes with each restart.
   * @returns whether a run id is new since the last call; false at the first call
   * @throws the error of a master that did not reply, if no other master has a new run id
   */
  async changed(): Promise<boolean> {
    const [unreachable] = unreachableMasters(this.redis);
    const answers = await Promise.allSettled(
      mastersOf(this.redis).map((master) => master.info('server', 'replication')),
    );
    const isFirst = this.knownRuns.size === 0;
    let changed = false;
    for (const answer of answers) {
      if (answer.status === 'rejected') continue;
      const run = /^run_id:(\S+)/m.exec(answer.value)?.[1];
      // Until the client has read the cluster's slots, it may take a replica for a master.
      if (run === undefined || this.knownRuns.has(run) || !/^role:master/m.test(answer.value)) continue;
      this.knownRuns.add(run);
      changed = !isFirst;
    }
    if (changed) return true;
    for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
    if (unreachable !== undefined) throw new Error(`no connection to the master ${unreachable}`);
    return false;
  }
}
