/**
 * The behaviours of the contrary broker that `npm run test:repeat -- contrary 1` puts between the apps and Mosquitto, one after
 * the other, while it runs the agreement suite. `test/support/contrary/catalogue.ts` makes them.
 */

/** `specs`: the files of the suite that apply, if not all do. */
export const BEHAVIOURS = /** @type {const} */ ({
  'sentinel-first': { specs: '' },
  'random-order': { specs: '' },
  'sentinel-lost': { specs: '' },
  'no-subscribers-hidden': { specs: '' },
  'dup-dropped': { specs: '' },
  'new-packet-ids': { specs: '' },
  'refused-connects': { specs: '' },
  // Others wait less long than it takes to find a stalled lane.
  'silent-filter': { specs: 'agreement/(chaos|sweep)' },
  'hivemq-limits': { specs: '' },
  'flashmq-limits': { specs: '' },
  'retained-late': { specs: '' },
  'retained-stale': { specs: '' },
  'retained-pauses': { specs: '' },
  'retained-drops': { specs: '' },
  mixture: { specs: '' },
});
