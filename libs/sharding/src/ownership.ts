/**
 * Who acts for what. An owner holds a grant; everything it writes carries the grant's fence and is refused once a
 * newer grant exists (S1, S2). This is the port: `StaticOwnership` fills it for a single ingester.
 */
import type { Resource } from './sharding-keys.js';

/** The right to act for a resource, for as long as no newer epoch exists. */
export interface Grant extends Resource {
  /** Higher with each acquisition. */
  epoch: number;
  /** `<epoch>:<boot id>`: carried by every write. */
  fence: string;
}

export interface OwnershipListener {
  /** From now on this process acts for the resource. */
  granted(grant: Grant): Promise<void>;
  /** This process no longer acts for it; resolves when it has stopped. */
  revoked(grant: Grant): Promise<void>;
}

export interface Ownership {
  /** Takes part; calls the listener for each grant. */
  start(listener: OwnershipListener): Promise<void>;
  /** What this process holds now. */
  held(): readonly Grant[];
  /** Asks Redis whether the grant still holds; reports it lost where it does not. */
  confirm(grant: Grant): Promise<boolean>;
  /** A write was refused: the grant is lost, whoever holds it now. */
  lost(grant: Grant): void;
  /** Gives back what is held. The listener's work must have stopped. */
  stop(): Promise<void>;
}

/** A write with an old fence: another owner acts for the resource now, so this one must stop. */
export class StaleOwnerError extends Error {
  override readonly name = 'StaleOwnerError';

  constructor(readonly grant: Grant) {
    super(
      `${grant.kind} ${grant.index} is no longer this process' since epoch ${grant.epoch}: it must stop acting for it`,
    );
  }
}
