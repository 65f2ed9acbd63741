/** Notices that another Redis answers, or another run of it (S0): what it held may be lost, in part or in whole. */
import { Cluster, type Redis } from 'ioredis';

export class RedisRuns {
  private readonly known = new Set<string>();

  constructor(private readonly redis: Redis | Cluster) {}

  /**
   * Asks every master for the run it is in.
   * @returns whether one of them was not seen before; false at the first call.
   */
  async changed(): Promise<boolean> {
    const masters = this.redis instanceof Cluster ? this.redis.nodes('master') : [this.redis];
    const infos = await Promise.all(masters.map((master) => master.info('server')));
    const first = this.known.size === 0;
    let changed = false;
    for (const info of infos) {
      const run = /^run_id:(\S+)/m.exec(info)?.[1];
      if (run === undefined || this.known.has(run)) continue;
      this.known.add(run);
      changed = !first;
    }
    return changed;
  }
}
