import { randomUUID } from 'node:crypto';

/** What an operator has to do if the broker refuses one of them. */
export const CHECK_RIGHTS = 'allow this user to publish and subscribe to cloud-connector/check/#, also through $share/';

/** The topics of one check: they lie below a prefix that nobody else uses. */
export class CheckTopics {
  readonly id = randomUUID();

  at(name: string): string {
    return `cloud-connector/check/${this.id}/${name}`;
  }

  /** A filter of the share group of this check. */
  shared(filter: string): string {
    return `$share/check-${this.id}/${this.at(filter)}`;
  }
}
