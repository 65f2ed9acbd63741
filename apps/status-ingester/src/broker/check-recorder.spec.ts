import type { BrokerFindings } from '@app/broker';
import { BrokerRecords, RegistryKeys, type CheckRecord } from '@app/registry';
import type { Redis } from '@app/platform';
import { register } from 'prom-client';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate, quiet } from '../../../../test/support/servers.js';
import { exposeMissing } from './broker-gauges.js';
import { CheckRecorder } from './check-recorder.js';

const FINDINGS: BrokerFindings = {
  granted: {
    sessionExpirySeconds: 1_209_600,
    receiveMaximum: 512,
    maximumPacketSize: null,
    maximumQos: 2,
    retainAvailable: true,
    sharedSubscriptions: true,
    wildcardSubscriptions: true,
    serverKeepAliveSeconds: 60,
  },
  noSubscriberSignal: false,
  absenceProvable: null,
  notAllowed: undefined,
  readProblem: undefined,
};
const AT = new Date('2026-11-29T10:00:00.000Z');

let records: BrokerRecords;

withRedis((redis: Redis) => {
  records = new BrokerRecords(redis, new RegistryKeys('check-recorder'));
});

/** Samples without labels, by name; `absent` if a gauge has none. */
async function samples(): Promise<Record<string, string>> {
  const text = await register.metrics();
  const found = [...text.matchAll(/^# TYPE cloud_connector_(broker_\w+) gauge\n(?:cloud_connector_\w+ (\S+))?/gm)];
  return Object.fromEntries(found.map(([, name = '', value]) => [name, value ?? 'absent']));
}

/**
 * Fails until a record comes for the third time. By then at least the second wait of its recorder has passed, which is longer
 * than the first wait of any other.
 */
class FailingStore {
  readonly calls: CheckRecord[] = [];
  private readonly third = gate<CheckRecord>();

  get saved(): Promise<CheckRecord> {
    return this.third.passed;
  }

  save(record: CheckRecord): Promise<void> {
    this.calls.push(record);
    if (this.calls.filter((one) => one === record).length < 3) return Promise.reject(new Error('Redis is away'));
    this.third.open(record);
    return Promise.resolve();
  }
}

describe('CheckRecorder', () => {
  it('exposes nothing before the first check', async () => {
    expect(await samples()).toEqual({
      broker_session_expiry_seconds: 'absent',
      broker_receive_maximum: 'absent',
      broker_maximum_packet_size_bytes: 'absent',
      broker_retain_available: 'absent',
      broker_shared_subscriptions: 'absent',
      broker_no_subscriber_signal: 'absent',
      broker_absence_provable: 'absent',
      broker_queue_limit: 'absent',
    });
  });

  it('saves what a check found', async () => {
    new CheckRecorder(records, quiet).checked(FINDINGS, AT);
    await eventually('the record', async () =>
      expect(await records.read()).toEqual({
        checked_at: '2026-11-29T10:00:00.000Z',
        session_expiry_seconds: 1_209_600,
        receive_maximum: 512,
        maximum_packet_size: null,
        maximum_qos: 2,
        retain_available: true,
        shared_subscriptions: true,
        wildcard_subscriptions: true,
        server_keep_alive_seconds: 60,
        no_subscriber_signal: false,
        absence_provable: null,
        queue_limit: null,
        queue_measured_at: null,
      }),
    );
  });

  it('exposes the granted limits, and of the rest what is known', async () => {
    const recorder = new CheckRecorder(records, quiet);
    recorder.checked(FINDINGS);
    expect(await samples()).toMatchObject({
      broker_session_expiry_seconds: '1209600',
      broker_receive_maximum: '512',
      broker_maximum_packet_size_bytes: '+Inf',
      broker_retain_available: '1',
      broker_shared_subscriptions: '1',
      broker_no_subscriber_signal: '0',
      broker_absence_provable: 'absent',
    });
    const granted = { ...FINDINGS.granted, sessionExpirySeconds: null, maximumPacketSize: 1000 };
    recorder.checked({ ...FINDINGS, granted, noSubscriberSignal: null, absenceProvable: true });
    expect(await samples()).toMatchObject({
      broker_session_expiry_seconds: '+Inf',
      broker_maximum_packet_size_bytes: '1000',
      broker_no_subscriber_signal: 'absent',
      broker_absence_provable: '1',
    });
  });

  it('exposes what the broker of a running ingester lacks, although it grants it, until the broker has it again', async () => {
    new CheckRecorder(records, quiet).checked(FINDINGS);
    exposeMissing('shared-subscriptions');
    expect(await samples()).toMatchObject({ broker_retain_available: '1', broker_shared_subscriptions: '0' });
    exposeMissing('retained-messages');
    expect(await samples()).toMatchObject({ broker_retain_available: '0', broker_shared_subscriptions: '0' });
    exposeMissing(undefined);
    expect(await samples()).toMatchObject({ broker_retain_available: '1', broker_shared_subscriptions: '1' });
  });

  it('saves again after a failure', async () => {
    const store = new FailingStore();
    new CheckRecorder(store, quiet).checked(FINDINGS, AT);
    expect(await store.saved).toMatchObject({ checked_at: AT.toISOString(), receive_maximum: 512 });
  });

  it('does not save again what a newer check has replaced', async () => {
    const store = new FailingStore();
    const recorder = new CheckRecorder(store, quiet);
    recorder.checked({ ...FINDINGS, granted: { ...FINDINGS.granted, receiveMaximum: 1 } });
    recorder.checked(FINDINGS);
    await store.saved;
    expect(store.calls.filter(({ receive_maximum }) => receive_maximum === 1)).toHaveLength(1);
  });

  it('saves nothing after its stop', async () => {
    const store = new FailingStore();
    const recorder = new CheckRecorder(store, quiet);
    recorder.checked(FINDINGS);
    recorder.stop();
    const other = new FailingStore();
    new CheckRecorder(other, quiet).checked(FINDINGS);
    await other.saved;
    recorder.checked(FINDINGS);
    expect(store.calls).toHaveLength(1);
  });
});
