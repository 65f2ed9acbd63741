/**
 * Watches from outside who acts for what: Redis' MONITOR tells each command inside a script, in the order of
 * execution. So each acquisition and each accepted write is seen, whatever the processes believe.
 *
 * - An acquisition has a higher epoch than every one before it, and a lease that was not given back is not taken
 *   before it has run out.
 * - A commit that was accepted carries the fence of the shard's present owner.
 * - An append that was accepted carries the fence that was announced last on that shard.
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
  /** Arguments of the script under way; Redis runs one at a time. */
  private script: string[] = [];

  constructor(private readonly leaseMs: number) {}

  /** Watches one Redis. */
  static async of(url: string, leaseMs: number): Promise<{ witness: Witness; stop: () => void }> {
    const witness = new Witness(leaseMs);
    const redis = new Redis(url);
    const monitor = (await redis.monitor()) as unknown as Monitor;
    monitor.on('monitor', (time, command, source) => witness.see(Number(time), command, source === 'lua'));
    return {
      witness,
      stop: () => {
        monitor.disconnect();
        redis.disconnect();
      },
    };
  }

  /** Forgets who owns what; epochs must rise all the same. */
  dataLost(): void {
    this.owners.clear();
    this.announced.clear();
  }

  see(time: number, command: readonly string[], inScript: boolean): void {
    const [name = '', key = '', value = ''] = command;
    const verb = name.toLowerCase();
    if (!inScript) {
      this.script = verb === 'evalsha' || verb === 'eval' ? [...command] : [];
      if (verb === 'flushall') this.dataLost();
      return;
    }
    if (key.endsWith(':owner')) {
      if (verb === 'set') this.acquired(time, key, value);
      else if (verb === 'pexpire') this.renewed(time, key);
      else if (verb === 'del') this.owners.delete(key);
    } else if (verb === 'set' && key.endsWith(':position')) this.committed(key);
    else if (verb === 'hset' && key.endsWith(':lanes')) this.marked(key, value, command[3] ?? '');
    else if (verb === 'xadd' && key.endsWith(':mailbox')) this.appended(key);
  }

  private acquired(time: number, key: string, fence: string): void {
    this.acquisitions++;
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

  private committed(position: string): void {
    this.commits++;
    const owner = this.owners.get(position.replace(/:position$/, ':owner'));
    const fence = this.argument(0);
    if (owner !== undefined && owner.fence !== fence)
      this.violations.push(`${position}: ${fence} committed while ${owner.fence} is the owner`);
  }

  /** An announcement sets the mark with sequence 0; an append raises the sequence. */
  private marked(lanes: string, lane: string, mark: string): void {
    if (mark.endsWith(':0')) this.announced.set(`${lanes} ${lane}`, mark.slice(0, -2));
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

function bootOf(fence: string): string {
  return fence.slice(fence.indexOf(':') + 1);
}
