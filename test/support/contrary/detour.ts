/**
 * What lies between the broker of a spec and those that connect to it: nothing, or the contrary broker with the behaviour that
 * `CONTRARY` names.
 */
import { BEHAVIOURS } from '../../../scripts/contrary-behaviours.mjs';
import { ContraryBroker } from '../contrary-broker.js';
import { Random, seedOfRun } from '../random.js';
import { BROKER_CONFIG, MET_BY_DEVICES, behavioursOf, type BehaviourName } from './catalogue.js';
import { Mixture } from './mixture.js';

const name = nameOfRun();

/** Further lines of the configuration of Mosquitto, before those of the spec. */
export const CONTRARY_CONFIG: readonly string[] = (name !== undefined && BROKER_CONFIG[name]) || [];

export class Detour {
  /** Where the apps connect to. */
  readonly port: number;
  /** Where devices connect to. */
  readonly deviceUrl: string;

  private constructor(
    broker: { readonly port: number; readonly url: string },
    private readonly contrary: ContraryBroker | undefined,
    private readonly behaviour: { readonly stop: () => Promise<void> } | undefined,
  ) {
    this.port = contrary?.port ?? broker.port;
    this.deviceUrl =
      contrary !== undefined && name !== undefined && MET_BY_DEVICES.includes(name) ? contrary.url : broker.url;
  }

  /** The broker may be restarted, on the same port. */
  static async before(broker: { readonly port: number; readonly url: string }): Promise<Detour> {
    if (name === undefined) return new Detour(broker, undefined, undefined);
    const random = new Random(seedOfRun());
    const contrary = await ContraryBroker.before(broker.port);
    if (name === 'mixture') return new Detour(broker, contrary, await Mixture.start(contrary, random, broker.url));
    const made = await behavioursOf(name, random, broker.url);
    contrary.behave(...made.behaviours);
    return new Detour(broker, contrary, made);
  }

  get appUrl(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    await this.behaviour?.stop();
    await this.contrary?.stop();
  }
}

function nameOfRun(): BehaviourName | undefined {
  const wanted = process.env['CONTRARY'];
  if (wanted === undefined || wanted === '') return undefined;
  if (!isBehaviour(wanted)) throw new Error(`CONTRARY=${wanted} is not one of ${Object.keys(BEHAVIOURS).join(', ')}`);
  return wanted;
}

function isBehaviour(wanted: string): wanted is BehaviourName {
  return wanted in BEHAVIOURS;
}
