/** Runs `cloud-connector check-broker` in this process. */
import { Writable } from 'node:stream';
import { checkBrokerCommand } from '../../libs/broker/src/probes/command.js';

export interface CheckReport {
  verdict: string;
  probes: { probe: string; verdict: string; found: string; measured: Record<string, unknown> }[];
}

/** @returns its exit code, and what it printed */
export async function runCheckBroker(...args: string[]): Promise<{ exit: number; out: string; err: string }> {
  const texts = { out: '', err: '' };
  const into = (name: 'out' | 'err'): Writable =>
    new Writable({
      write: (chunk: Buffer, _, done) => {
        texts[name] += chunk.toString();
        done();
      },
    });
  const untilOperator = (): Promise<void> => new Promise(() => undefined);
  const exit = await checkBrokerCommand(args, { stdout: into('out'), stderr: into('err'), untilOperator });
  return { exit, ...texts };
}
