/** A contrary broker whose behaviours change during the run: a seeded choice of some at a time, and a cut now and then. */
import type { ContraryBroker } from '../contrary-broker.js';
import type { Random } from '../random.js';
import { behavioursOf, type SingleName } from './catalogue.js';

/** Without the silent filter: nothing in the suite waits until it is found again and again. */
const MIXED: readonly SingleName[] = [
  ...(['sentinel-first', 'random-order', 'sentinel-lost', 'no-subscribers-hidden', 'dup-dropped'] as const),
  ...(['new-packet-ids', 'refused-connects', 'hivemq-limits', 'retained-late', 'retained-stale'] as const),
  ...(['retained-pauses', 'retained-drops'] as const),
];
const MOST_AT_A_TIME = 3;
const LONGEST_MS = 4000;
/** How long nothing changes after a cut: each cut lets a sweep begin again, and one must be able to end now and then. */
const CALM_MS = 8000;

export class Mixture {
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly broker: ContraryBroker,
    private readonly made: readonly Awaited<ReturnType<typeof behavioursOf>>[],
    private readonly random: Random,
  ) {}

  static async start(broker: ContraryBroker, random: Random, brokerUrl: string): Promise<Mixture> {
    const made = await Promise.all(MIXED.map((name) => behavioursOf(name, random, brokerUrl)));
    const mixture = new Mixture(broker, made, random);
    mixture.change();
    return mixture;
  }

  async stop(): Promise<void> {
    clearTimeout(this.timer);
    await Promise.all(this.made.map(({ stop }) => stop()));
  }

  private change(): void {
    const chosen = this.random.shuffled(this.made).slice(0, 1 + this.random.below(MOST_AT_A_TIME));
    this.broker.behave(...chosen.flatMap(({ behaviours }) => behaviours));
    // Connections keep the behaviours that they began with.
    const cut = this.random.below(3) === 0;
    if (cut) this.broker.cut();
    this.timer = setTimeout(() => this.change(), (cut ? CALM_MS : 0) + this.random.below(LONGEST_MS));
  }
}
