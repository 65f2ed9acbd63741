/** The device program under test: each start is a process group of its own. It is stopped by that group's id. */
import { spawn } from 'node:child_process';

/** Of what a program prints, this much is kept for the report. */
const KEPT_CHARACTERS = 2000;

/** A process that has left the group may keep the output open: it is not waited for any longer. */
const LEFT_MS = 5000;

/** @type {Set<Program>} */
const running = new Set();

export class Program {
  /** The end of what it has printed. */
  printed = '';

  /** @param {string} command a line for the shell @param {Record<string, string>} env */
  constructor(command, env) {
    this.child = spawn(command, {
      shell: true,
      // npm runs scripts in the folder of the package.
      cwd: process.env.INIT_CWD ?? process.cwd(),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream.on('data', (data) => (this.printed = (this.printed + data).slice(-KEPT_CHARACTERS)));
    running.add(this);
    /** Resolves when all its processes have ended: then nobody has its output open. @type {Promise<void>} */
    this.ended = new Promise((resolve) => {
      this.child.once('close', () => resolve());
      this.child.once('error', () => resolve());
    });
    const end = new AbortController();
    /** Aborted when it has ended. */
    this.endSignal = end.signal;
    void this.ended.then(() => {
      running.delete(this);
      end.abort();
    });
  }

  /** @param {'SIGTERM' | 'SIGKILL'} signal */
  signal(signal) {
    if (this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, signal);
    } catch (error) {
      // It has ended already. In a Jest test, errors of Node are no instances of the test's `Error`.
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
    }
  }

  async kill() {
    this.signal('SIGKILL');
    const timer = setTimeout(
      () => [this.child.stdout, this.child.stderr].forEach((output) => output.destroy()),
      LEFT_MS,
    );
    await this.ended;
    clearTimeout(timer);
  }
}

/** Leaves no process behind, however the harness ends. */
export function killAll() {
  for (const program of running) program.signal('SIGKILL');
}
