/** The identity of this process as a member of the cluster. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

export class MemberIdentity {
  /** Name of the pod or host, for operators. */
  readonly name = hostname();
  /** New at each start (S4). */
  readonly bootId = randomBytes(6).toString('hex');
  readonly id = `${this.name}/${this.bootId}`;
}
