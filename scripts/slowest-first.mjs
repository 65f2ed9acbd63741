/**
 * The order of `npm test`: the slowest files start first, so that no worker is idle while another runs a long file at the
 * end. Jest knows durations only from its cache, which a fresh clone does not have.
 */
import { relative } from 'node:path';

/** As <project> <file>, the slowest first: those that take more than 20 seconds on two cores. */
export const SLOWEST = [
  'cluster test/cluster/faults.spec.ts',
  'agreement test/agreement/chaos.spec.ts',
  'cluster test/cluster/lanes.spec.ts',
  'e2e-cluster test/e2e/crash.spec.ts',
  'cluster-ring test/cluster/ring.spec.ts',
  'e2e test/e2e/crash.spec.ts',
  'outbound test/outbound/calls.spec.ts',
  'agreement test/agreement/contrary.spec.ts',
  'outbound test/outbound/away.spec.ts',
  'e2e test/e2e/redis-topologies.spec.ts',
  'cluster test/cluster/storm.spec.ts',
  'agreement test/agreement/disconnects.spec.ts',
  'cluster test/cluster/soak.spec.ts',
  'security test/security/full-redis.spec.ts',
  'e2e test/e2e/event-kills.spec.ts',
  'fuzz test/fuzz/rest.spec.ts',
  'fuzz test/fuzz/mqtt.spec.ts',
  'conformance test/conformance/broken.spec.ts',
  'conformance test/conformance/examples.spec.ts',
  'outbound test/outbound/order.spec.ts',
  'cluster test/cluster/data-loss.spec.ts',
  'e2e test/e2e/events.spec.ts',
  'e2e test/e2e/client.spec.ts',
  'security test/security/account-moves.spec.ts',
  'agreement test/agreement/contrary-sweeps.spec.ts',
  'agreement test/agreement/sweep.spec.ts',
  'upgrade test/upgrade/upgrade.spec.ts',
  'unit libs/broker/src/broker-watch.spec.ts',
];

/** @typedef {import('./test-times.mjs').TestFile} TestFile */

export default class SlowestFirst {
  /** @param {TestFile[]} files */
  sort(files) {
    return files
      .map((file) => ({ file, rank: rank(file) }))
      .toSorted(byRank)
      .map(({ file }) => file);
  }

  /** Jest requires it. The table that `npm test` prints has the durations. */
  cacheResults() {}
}

/** @param {{ rank: number }} one @param {{ rank: number }} other */
function byRank(one, other) {
  return one.rank - other.rank;
}

/** @param {TestFile} file */
function rank({ path, context: { config } }) {
  const project = config.displayName?.name ?? '';
  const at = SLOWEST.indexOf(`${project} ${relative(config.rootDir, path)}`);
  return at >= 0 ? at : SLOWEST.length;
}
