/**
 * Is loaded into an ingester (`--import`) of the topics benchmark, which runs with two lanes: the first subscribes to what carries
 * state, the second to the `in` topic. The settings cannot say that: each lane subscribes to all topics. All else is the product.
 */
import { join } from 'node:path';
import { ROOT } from '../scripts/setup.mjs';

const { Lane } = await import(join(ROOT, 'dist/apps/status-ingester/src/intake/lane.js'));
const start = Lane.prototype.start;
const inFilter = (process.env.IN_TOPIC ?? '').replace('{clientId}', '+');

/** @this {{ grant: { index: number }, options: { filters: string[] } }} */
Lane.prototype.start = function () {
  const isOfIn = (/** @type {string} */ filter) => filter.endsWith(`/${inFilter}`);
  this.options.filters = this.options.filters.filter((filter) => isOfIn(filter) === (this.grant.index === 1));
  start.call(this);
};
