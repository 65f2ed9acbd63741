/** Starts the tool in this process. */
import type { Programs } from './context.js';
import { nodeVersionError } from './node-version.js';

/** @param programs what the repository of the service adds to the tool */
export async function start(programs: Programs = {}): Promise<void> {
  const versionError = nodeVersionError();
  if (versionError !== undefined) {
    console.error(versionError);
    process.exit(1);
  }
  const interrupt = new AbortController();
  let isFollowed = false;
  // Ctrl-C closes the event stream of a command that follows one, and ends any other command at once.
  process.once('SIGINT', () => {
    interrupt.abort();
    if (!isFollowed) process.exit(130);
  });
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader of the pipe has closed it.
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
  const untilInterrupted = (): AbortSignal => {
    isFollowed = true;
    return interrupt.signal;
  };
  const { run } = await import('./run.js');
  const { env, stdout, stderr } = process;
  process.exitCode = await run(process.argv.slice(2), { env, stdout, stderr, untilInterrupted, programs });
}
