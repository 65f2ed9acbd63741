import type { BrokerFindings } from '@app/broker';
import { BrokerRecords, RegistryKeys, type CheckRecord } from '@app/registry';
import type { Redis } from '@app/platform';
import { register } from 'prom-client';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate, quiet } from '../../../../test/support/servers.js';
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

describe('CheckRecorder', () => {
  it('exposes nothing before the first check', async () => {
    expect(await samples()).toEqual({
      broker_session_expiry_seconds: 'absent',
      broker_receive_maximum: 'absent',
      broker_maximum_packet_size_bytes: 'absent',
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

  it('saves again after a failure, until a newer check replaces it', async () => {
    const saved: CheckRecord[] = [];
    let failures = 2;
    const failing = gate();
    const save = (record: CheckRecord): Promise<void> => {
      if (failures-- > 0) return Promise.reject(new Error('Redis is away'));
      saved.push(record);
      failing.open();
      return Promise.resolve();
    };
    const recorder = new CheckRecorder({ save }, quiet);
    recorder.checked({ ...FINDINGS, noSubscriberSignal: true });
    recorder.checked(FINDINGS, AT);
    await failing.passed;
    expect(saved).toMatchObject([{ no_subscriber_signal: false, checked_at: AT.toISOString() }]);
  });

  it('saves nothing after its stop', () => {
    let calls = 0;
    const recorder = new CheckRecorder({ save: () => Promise.reject(new Error(`call ${++calls}`)) }, quiet);
    recorder.checked(FINDINGS);
    recorder.stop();
    recorder.checked(FINDINGS);
    expect(calls).toBe(1);
  });
});
