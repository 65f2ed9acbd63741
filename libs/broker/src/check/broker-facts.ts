/** What the last check of the broker by this process found out. Read it at each use: a later check may find another broker. */
export class BrokerFacts {
  /** Whether a read of retained messages proves that a topic has none; null: not known. */
  absenceProvable: boolean | null = null;
}
