import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** This process among the members of the cluster. */
export class MemberIdentity {
  /** For people: the pod's or host's name. */
  readonly name = hostname();
  /** A new one at each start (S4). */
  readonly bootId = randomBytes(6).toString('hex');
  readonly id = `${this.name}/${this.bootId}`;
}
