/**
 * `npm run bench -- reconciliation [--what sweep,rebuild,verify,lanes,crash] [--clients 100000] [--queues unlimited,default]`
 *
 * How registry and broker are reconciled, with one ingester:
 * - `sweep`: the first one, which builds the registry from nothing; one that finds no difference; and one that finds a
 *   hundredth of the clients gone. Once with unlimited queues in the broker, and once with Mosquitto's default limits,
 *   which end reads early. `--heap` limits the old generation of the ingester, in MiB, to measure what it needs.
 * - `rebuild`: the first sweep and one that finds no difference, with one ingester and with two, or with `--ingesters 1,2,3`.
 * - `verify`: all clients are verified at the same time.
 * - `lanes`: the share of messages that need a verification if 1, 2 or 4 lanes take them in turn.
 * - `crash`: the ingester is killed, Redis loses its data, and the broker is restarted.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stopAll } from '../scripts/stack.mjs';
import { crash, rebuild, sweep } from './reconciliation-sweeps.mjs';
import { lanes, verify } from './reconciliation-verifications.mjs';
import { machine } from './measure.mjs';

const LIMITS = {
  unlimited: [],
  // Mosquitto's defaults.
  default: ['max_queued_messages 1000', 'max_inflight_messages 20'],
};
const MEASURED = { sweep, rebuild, verify, lanes, crash };

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      what: { type: 'string', default: 'sweep' },
      clients: { type: 'string', default: '100000' },
      ingesters: { type: 'string', default: '1,2' },
      queues: { type: 'string', default: 'unlimited,default' },
      heap: { type: 'string' },
    },
  });
  console.log(machine());
  if (values.heap !== undefined) process.env.NODE_OPTIONS = `--max-old-space-size=${Number(values.heap)}`;
  const counts = values.ingesters.split(',').map(Number);
  for (const what of values.what.split(',')) {
    const measure = MEASURED[/** @type {keyof typeof MEASURED} */ (what)];
    if (measure === undefined) throw new Error(`it measures ${Object.keys(MEASURED).join(', ')}, not ${what}`);
    for (const queues of what === 'sweep' ? values.queues.split(',') : ['unlimited']) {
      const config = LIMITS[/** @type {keyof typeof LIMITS} */ (queues)];
      if (config === undefined) throw new Error(`queues are ${Object.keys(LIMITS).join(' or ')}, not ${queues}`);
      const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
      try {
        console.log(`${what}, ${values.clients} clients, queues ${queues}:`);
        console.table(await measure(dir, config, Number(values.clients), counts));
      } finally {
        await stopAll();
        printWarnings(dir);
        rmSync(dir, { recursive: true, force: true });
      }
    }
  }
}

/** What the ingesters have warned of, such as a sweep that was run again. @param {string} dir */
function printWarnings(dir) {
  for (const file of readdirSync(dir).filter((name) => /ingester.*\.log$/.test(name))) {
    for (const line of readFileSync(join(dir, file), 'utf8').split('\n'))
      if (line !== '') console.log(`${file}: ${line}`);
  }
}
