/**
 * Observes from outside which process owns which shard and lane. Redis' MONITOR reports each command inside a script in the
 * order of execution, so the witness sees each acquisition and each accepted write, independently of what the processes
 * believe. All keys of a shard or lane are on one master of a Redis Cluster, so their commands are in order there too.
 *
 * The witness reports a violation unless:
 * - an acquisition has a higher epoch than all before it, and a lease that was not released is not taken before it has expired;
 * - an accepted commit carries the fence of the shard's present owner, and moves the position forward;
 * - an accepted append carries the fence that was announced last on the shard, and a higher sequence number;
 * - of two connects of a lane's session, the later one does not have an older epoch.
 */
import { once } from 'node:events';
import { Redis } from 'ioredis';

interface Tenure {
  fence: string;
  epoch: number;
  /** Time of the last renewal, in seconds by Redis' clock. */
  renewedAt: number;
}

export class Witness {
  /** Descriptions of what should never happen. */
  readonly violations: string[] = [];
  acquisitions = 0;
  commits = 0;
  appends = 0;
  private readonly owners = new Map<string, Tenure>();
  private readonly highest = new Map<string, number>();
  private readonly announced = new Map<string, string>();
  /** Sequence number of the last append, by shard and lane. */
  private readonly sequences = new Map<string, number>();
  private readonly positions = new Map<string, string>();
  private readonly acquired = new Map<string, { time: number; fence: string }[]>();
  private readonly connects: { lane: number; time: number; who: string; boots: () => ReadonlySet<string> }[] = [];
  /** The command that runs the present script, by master. A master runs one script at a time. */
  private readonly scripts = new Map<number, readonly string[]>();
  private script: readonly string[] = [];

  constructor(private readonly leaseMs: number) {}

  /** A witness that monitors the masters on these ports. */
  static async of(ports: readonly number[], leaseMs: number): Promise<{ witness: Witness; stop: () => void }> {
    const witness = new Witness(leaseMs);
    const connections = await Promise.all(
      ports.map(async (port) => {
        // Not by `redis.monitor()` of a second connection: ioredis takes the INFO of that one for a reply if it arrives with
        // the OK of MONITOR.
        const monitor = new Redis({ host: '127.0.0.1', port, monitor: true });
        monitor.on('monitor', (time: string, command: string[], source: string) => {
          witness.see(Number(time), command, source === 'lua', port);
        });
        await once(monitor, 'monitoring');
        return monitor;
      }),
    );
    return {
      witness,
      stop: () => {
        for (const connection of connections) connection.disconnect();
      },
    };
  }

  /** Forgets all owners and positions. Epochs must still rise. */
  dataLost(): void {
    this.owners.clear();
    this.announced.clear();
    this.sequences.clear();
    this.positions.clear();
  }

  /** A process sends CONNECT for a lane's session. `time`: in seconds; `boots`: the boot ids of the process. */
  sawConnect(lane: number, time: number, who: string, boots: () => ReadonlySet<string>): void {
    this.connects.push({ lane, time, who, boots });
  }

  /** Connects by a former owner, after a newer owner of the lane had connected. */
  staleConnects(): string[] {
    const newest = new Map<number, number>();
    return this.connects
      .toSorted((a, b) => a.time - b.time)
      .flatMap(({ lane, time, who, boots }) => {
        const ownBoots = boots();
        const own = (this.acquired.get(`{lane${lane}}`) ?? []).filter(
          (acquired) => acquired.time <= time && ownBoots.has(bootOf(acquired.fence)),
        );
        const epoch = Math.max(0, ...own.map(({ fence }) => Number.parseInt(fence, 10)));
        const before = newest.get(lane) ?? 0;
        newest.set(lane, Math.max(before, epoch));
        return epoch < before ? [`lane ${lane}: ${who} connected in epoch ${epoch}, after epoch ${before} had`] : [];
      });
  }

  see(time: number, command: readonly string[], inScript: boolean, master = 0): void {
    const [name = '', key = '', value = ''] = command;
    const verb = name.toLowerCase();
    this.script = this.scripts.get(master) ?? [];
    if (!inScript) {
      this.scripts.set(master, verb === 'evalsha' || verb === 'eval' ? command : []);
      if (verb === 'flushall') this.dataLost();
      return;
    }
    if (key.endsWith(':owner')) {
      if (verb === 'set') this.acquisition(time, key, value);
      else if (verb === 'pexpire') this.renewed(time, key);
      else if (verb === 'del') this.owners.delete(key);
    } else if (verb === 'set' && key.endsWith(':position')) this.committed(key, value);
    else if (verb === 'hset' && key.endsWith(':lanes')) this.announcedOrAppended(key, value, command[3] ?? '');
    else if (verb === 'xadd' && key.endsWith(':mailbox')) this.appended(key);
  }

  private acquisition(time: number, key: string, fence: string): void {
    this.acquisitions++;
    const tag = /\{.*\}/.exec(key)?.[0] ?? '';
    this.acquired.set(tag, [...(this.acquired.get(tag) ?? []), { time, fence }]);
    const epoch = Number.parseInt(fence, 10);
    const highest = this.highest.get(key) ?? 0;
    if (epoch <= highest) this.violations.push(`${key}: epoch ${epoch} follows ${highest}`);
    const before = this.owners.get(key);
    const held = before === undefined ? Infinity : (time - before.renewedAt) * 1000;
    // A process may acquire its own lease again, because the reply to its first attempt was lost.
    if (before !== undefined && bootOf(before.fence) !== bootOf(fence) && held < this.leaseMs - 1) {
      this.violations.push(`${key}: ${fence} took over after ${Math.round(held)} ms of ${before.fence}'s lease`);
    }
    this.highest.set(key, Math.max(epoch, highest));
    this.owners.set(key, { fence, epoch, renewedAt: time });
  }

  private renewed(time: number, key: string): void {
    const owner = this.owners.get(key);
    if (owner !== undefined) owner.renewedAt = time;
  }

  private committed(position: string, to: string): void {
    this.commits++;
    const from = this.positions.get(position);
    if (from !== undefined && !isAfter(to, from)) this.violations.push(`${position}: moved from ${from} to ${to}`);
    this.positions.set(position, to);
    const owner = this.owners.get(position.replace(/:position$/, ':owner'));
    const fence = this.argument(0);
    if (owner !== undefined && owner.fence !== fence)
      this.violations.push(`${position}: ${fence} committed while ${owner.fence} is the owner`);
  }

  /** An announcement stores the fence with sequence number 0; an append raises the number. */
  private announcedOrAppended(lanes: string, lane: string, stored: string): void {
    const name = `${lanes} ${lane}`;
    const sequence = Number(stored.slice(stored.lastIndexOf(':') + 1));
    if (sequence === 0) this.announced.set(name, stored.slice(0, -2));
    else if (sequence <= (this.sequences.get(name) ?? 0))
      this.violations.push(`${lanes}: append ${sequence} of lane ${lane} was accepted again`);
    this.sequences.set(name, sequence);
  }

  private appended(mailbox: string): void {
    // The script of a caller without a lane has one key.
    if (this.script[2] !== '3') return;
    this.appends++;
    const lanes = mailbox.replace(/:mailbox$/, ':lanes');
    const announced = this.announced.get(`${lanes} ${this.argument(0)}`);
    const fence = this.argument(1);
    if (announced !== undefined && announced !== fence)
      this.violations.push(`${mailbox}: ${fence} appended after ${announced} had announced itself`);
  }

  /** An argument of the present script; 0 is the first one after its keys. */
  private argument(index: number): string {
    return this.script[3 + Number(this.script[2]) + index] ?? '';
  }
}

/** Whether stream id `a` is later than stream id `b`. */
function isAfter(a: string, b: string): boolean {
  const [aMs = 0, aNumber = 0] = a.split('-').map(Number);
  const [bMs = 0, bNumber = 0] = b.split('-').map(Number);
  return aMs > bMs || (aMs === bMs && aNumber > bNumber);
}

function bootOf(fence: string): string {
  return fence.slice(fence.indexOf(':') + 1);
}
