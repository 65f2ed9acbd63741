/**
 * Who acts for what. An owner holds a grant; everything it writes carries the grant's fence and is refused once a
 * newer grant exists (S1, S2). This is the port; `LeasedOwnership` fills it.
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
  /** This process must no longer act for it; resolves when what was in hand is finished and nothing more is begun. */
  revoked(grant: Grant): Promise<void>;
  /** Lanes from this index on are wanted by no member: their sessions are to be drained and ended (S10). */
  lanesWanted(count: number): void;
  /** Redis may have lost what it held (S0): everything held was revoked and is acquired again. */
  possibleDataLoss(): void;
}

export interface Ownership {
  /**
   * Takes part; calls the listener for each grant.
   * @param knownLanes how many lanes may have sessions at the broker, wanted or not
   */
  start(listener: OwnershipListener, knownLanes: number): Promise<void>;
  /** What this process acts for now. */
  held(): readonly Grant[];
  /** Whether the grant's lease still allows to act, by this process' own clock (S3). Asks nobody. */
  mayAct(grant: Grant): boolean;
  /** Asks Redis whether the grant still holds; reports it lost if it does not. */
  confirm(grant: Grant): Promise<boolean>;
  /**
   * The grant is lost, whoever holds it now. `refused`: Redis refused a write. `overdue`: by this process' own clock its
   * lease does not allow to act any more, and Redis was not asked.
   */
  lost(grant: Grant, how?: 'refused' | 'overdue'): void;
  /** Leaves: has the listener finish, and gives back what is held, so that the others take it at once (S6). */
  stop(): Promise<void>;
}

/** A write with an old fence: another owner acts for the resource now, so this one must stop. */
export class StaleOwnerError extends Error {
  override readonly name = 'StaleOwnerError';

  constructor(readonly grant: Grant) {
    super(
      `${grant.kind} ${grant.index} is owned by another process (our epoch ${grant.epoch} is stale): this process stops acting for it`,
    );
  }
}
