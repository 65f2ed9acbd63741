/**
 * Exposes and saves what a check of the broker found. A check that is newer replaces the one before, also while that is being
 * saved. Nothing waits for it: an ingester works without the record.
 */
import { grantedFields, type BrokerFindings } from '@app/broker';
import { backoffMs, retry, sharedAbort, type Logger } from '@app/platform';
import type { BrokerRecords, CheckRecord } from '@app/registry';
import { exposeGranted, exposeSignals } from './broker-gauges.js';

export class CheckRecorder {
  private saving = sharedAbort();
  private isStopped = false;

  constructor(
    /** Its commands fail while Redis is away. */
    private readonly records: Pick<BrokerRecords, 'save'>,
    private readonly logger: Logger,
  ) {}

  checked(findings: BrokerFindings, at = new Date()): void {
    exposeGranted(findings.granted);
    exposeSignals(findings.noSubscriberSignal, findings.absenceProvable);
    this.saving.abort();
    if (this.isStopped) return;
    this.saving = sharedAbort();
    const record = recordOf(findings, at);
    void retry(() => this.records.save(record), {
      backoff: (failures) => backoffMs(failures, 100, 5000),
      signal: this.saving.signal,
      onRetry: (error) =>
        this.logger.warn({ err: error }, 'could not save what the check of the broker found; trying again'),
    });
  }

  stop(): void {
    this.isStopped = true;
    this.saving.abort();
  }
}

function recordOf({ granted, noSubscriberSignal, absenceProvable }: BrokerFindings, at: Date): CheckRecord {
  return {
    checked_at: at.toISOString(),
    ...grantedFields(granted),
    no_subscriber_signal: noSubscriberSignal,
    absence_provable: absenceProvable,
  };
}
