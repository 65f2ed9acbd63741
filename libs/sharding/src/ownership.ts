/**
 * Which process owns which shards and lanes. An owner holds a grant. Each of its writes carries the grant's fence, and is
 * refused once a newer grant exists (S1, S2). This file is the port; `LeasedOwnership` implements it.
 */
import type { Resource } from './sharding-keys.js';

/** The right to act for a resource until a newer epoch exists. */
export interface Grant extends Resource {
  /** Rises with each acquisition. */
  epoch: number;
  /** `<epoch>:<boot id>`. Every write of the owner carries it. */
  fence: string;
}

export interface OwnershipListener {
  /** From now on this process acts for the resource. Resolves when it does. */
  granted(grant: Grant): Promise<void>;
  /** This process must stop acting for the resource. Resolves when pending work is finished and none will begin. */
  revoked(grant: Grant): Promise<void>;
  /** No member wants lanes with this index or a higher one: their sessions must be drained and ended (S10). */
  laneCountChanged(count: number): void;
  /** Redis may have lost data (S0): all grants are being revoked, and are then acquired again. */
  possibleDataLoss(): void;
}

export interface Ownership {
  /**
   * Joins the cluster, and calls the listener for each grant from then on.
   * @param knownLanes how many lanes may have sessions at the broker, also if no member wants them
   */
  start(listener: OwnershipListener, knownLanes: number): Promise<void>;
  /** The grants for which this process acts now. */
  grants(): readonly Grant[];
  /** Whether the grant's lease is still valid by this process's own clock (S3). Does not ask Redis. */
  mayAct(grant: Grant): boolean;
  /** Asks Redis whether the grant is still valid, and reports it as lost if it is not. */
  confirm(grant: Grant): Promise<boolean>;
  /**
   * Reports that the grant is lost. `refused`: Redis refused a write. `overdue`: by this process's own clock the lease may
   * have expired; Redis was not asked.
   */
  lost(grant: Grant, how?: 'refused' | 'overdue'): void;
  /** Leaves the cluster: lets the listener finish, and releases all leases, so that other members can take over at once (S6). */
  stop(): Promise<void>;
}

/** A write carried an old fence: another process owns the resource, so this one must stop acting for it. */
export class StaleOwnerError extends Error {
  override readonly name = 'StaleOwnerError';

  constructor(readonly grant: Grant) {
    super(
      `${grant.kind} ${grant.index} is owned by another process (our epoch ${grant.epoch} is stale): this process stops acting for it`,
    );
  }
}
