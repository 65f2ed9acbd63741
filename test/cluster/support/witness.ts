/**
 * Watches from outside who acts for what: Redis' MONITOR tells each command inside a script, in the order of
 * execution. So each acquisition and each accepted write is seen, whatever the processes believe. A shard or lane lives
 * on one master of a Redis Cluster, so what is said of it comes in order there too.
 *
 * - An acquisition has a higher epoch than every one before it, and a lease that was not given back is not taken
 *   before it has run out.
 * - A commit that was accepted carries the fence of the shard's present owner, and moves the position forward.
 * - An append that was accepted carries the fence that was announced last on that shard, and a higher sequence number.
 * - Of two connects of a lane's session, the later one is not of an older epoch.
 */
import { Redis } from 'ioredis';

/** The connection that `monitor()` returns, as far as it is used. */
interface Monitor {
  on(event: 'monitor', listener: (time: string, command: string[], source: string) => void): void;
  disconnect(): void;
}

interface Tenure {
  fence: string;
  epoch: number;
  /** Of the last renewal, seconds by Redis' clock. */
  renewedAt: number;
}

export class Witness {
  /** What should never happen, in words. */
  readonly violations: string[] = [];
  acquisitions = 0;
  commits = 0;
  appends = 0;
  private readonly owners = new Map<string, Tenure>();
  private readonly highest = new Map<string, number>();
  private readonly announced = new Map<string, string>();
  /** Of the last append, by shard and lane. */
  private readonly sequences = new Map<string, number>();
  private readonly positions = new Map<string, string>();
  private readonly acquired = new Map<string, { time: number; fence: string }[]>();
  private readonly connects: { lane: number; time: number; who: string; boots: () => ReadonlySet<string> }[] = [];
  /** Arguments of the script under way, by master: each runs one at a time. */
  private readonly scripts = new Map<number, readonly string[]>();
  private script: readonly string[] = [];

  constructor(private readonly leaseMs: number) {}

  /** Watches the masters on these ports. */
  static async of(ports: readonly number[], leaseMs: number): Promise<{ witness: Witness; stop: () => void }> {
    const witness = new Witness(leaseMs);
    const watched = await Promise.all(
      ports.map(async (port) => {
        const redis = new Redis(port, '127.0.0.1');
        const monitor = (await redis.monitor()) as unknown as Monitor;
        monitor.on('monitor', (time, command, source) => witness.see(Number(time), command, source === 'lua', port));
        return [redis, monitor];
      }),
    );
    return {
      witness,
      stop: () => {
        for (const connection of watched.flat()) connection.disconnect();
      },
    };
  }

  /** Forgets who owns what; epochs must rise all the same. */
  dataLost(): void {
    this.owners.clear();
    this.announced.clear();
    this.sequences.clear();
    this.positions.clear();
  }

  /** A process sends CONNECT for a lane's session. `time`: seconds, as for commands; `boots`: its boot ids. */
  sawConnect(lane: number, time: number, who: string, boots: () => ReadonlySet<string>): void {
    this.connects.push({ lane, time, who, boots });
  }

  /** Connects of a zombie: another process had acquired the lane, and connected, before. */
  zombies(): string[] {
    const newest = new Map<number, number>();
    return this.connects
      .toSorted((a, b) => a.time - b.time)
      .flatMap(({ lane, time, who, boots }) => {
        const mine = boots();
        const own = (this.acquired.get(`{lane${lane}}`) ?? []).filter(
          (one) => one.time <= time && mine.has(bootOf(one.fence)),
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
    else if (verb === 'hset' && key.endsWith(':lanes')) this.marked(key, value, command[3] ?? '');
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
    // Who acquires what is its own already, because an answer was lost, takes it from nobody.
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
    if (from !== undefined && !isLater(to, from)) this.violations.push(`${position}: moved from ${from} to ${to}`);
    this.positions.set(position, to);
    const owner = this.owners.get(position.replace(/:position$/, ':owner'));
    const fence = this.argument(0);
    if (owner !== undefined && owner.fence !== fence)
      this.violations.push(`${position}: ${fence} committed while ${owner.fence} is the owner`);
  }

  /** An announcement sets the mark with sequence 0; an append raises the sequence. */
  private marked(lanes: string, lane: string, mark: string): void {
    const at = `${lanes} ${lane}`;
    const sequence = Number(mark.slice(mark.lastIndexOf(':') + 1));
    if (sequence === 0) this.announced.set(at, mark.slice(0, -2));
    else if (sequence <= (this.sequences.get(at) ?? 0))
      this.violations.push(`${lanes}: append ${sequence} of lane ${lane} was accepted again`);
    this.sequences.set(at, sequence);
  }

  private appended(mailbox: string): void {
    // Callers append without a lane: their script has one key.
    if (this.script[2] !== '3') return;
    this.appends++;
    const lanes = mailbox.replace(/:mailbox$/, ':lanes');
    const announced = this.announced.get(`${lanes} ${this.argument(0)}`);
    const fence = this.argument(1);
    if (announced !== undefined && announced !== fence)
      this.violations.push(`${mailbox}: ${fence} appended after ${announced} had announced itself`);
  }

  /** An argument of the script under way, after its keys. */
  private argument(index: number): string {
    return this.script[3 + Number(this.script[2]) + index] ?? '';
  }
}

function isLater(one: string, than: string): boolean {
  const [ms = 0, n = 0] = one.split('-').map(Number);
  const [thanMs = 0, thanN = 0] = than.split('-').map(Number);
  return ms > thanMs || (ms === thanMs && n > thanN);
}

function bootOf(fence: string): string {
  return fence.slice(fence.indexOf(':') + 1);
}
