/** `cloud-connector check-broker` on a Mosquitto with limits. */
import { runCheckBroker, type CheckReport } from '../../../../test/support/check-broker.js';
import { startMosquitto } from '../../../../test/support/servers.js';
import { sentinelOrder } from './absence.js';
import { absentMember } from './group-members.js';
import type { Probe } from './probe.js';
import { ProbeBroker } from './probe-broker.js';
import { redelivery } from './redelivery.js';
import { runProbes, type ProbeReport } from './run-probes.js';

async function check(...config: string[]): Promise<{ exit: number; err: string; report: CheckReport }> {
  const mosquitto = await startMosquitto({ config });
  const { exit, out, err } = await runCheckBroker(mosquitto.url, '--json');
  await mosquitto.stop();
  return { exit, err, report: JSON.parse(out) as CheckReport };
}

async function probe(one: Probe, ...config: string[]): Promise<ProbeReport> {
  const mosquitto = await startMosquitto({ config });
  const broker = new ProbeBroker({ url: mosquitto.url });
  const report = await runProbes(broker, [one]);
  await broker.cleanUp();
  await mosquitto.stop();
  return report;
}

describe('check-broker', () => {
  it('makes every probe if packets of 1,000 bytes are allowed only', async () => {
    const { exit, err, report } = await check('max_packet_size 1000');
    expect(report.probes.filter(({ verdict }) => ['wrong', 'unknown'].includes(verdict))).toEqual([]);
    expect([exit, err]).toEqual([0, '']);
  });

  it('names the limit if no message of the check fits into a packet', async () => {
    const { exit, err, report } = await check('max_packet_size 100');
    expect([exit, err]).toEqual([3, '']);
    expect(report.probes.find(({ probe: name }) => name === 'order of retained reads')).toMatchObject({
      ...{ verdict: 'unknown', found: 'the broker allows packets of 100 bytes only: raise that limit' },
    });
  });

  it.each([
    ['QoS 1', 'max_qos 0'],
    ['retained messages', 'retain_available false'],
  ])('makes no further probe on a broker without %s', async (_, config) => {
    const { exit, err, report } = await check(config);
    expect(report.probes).toMatchObject([{ probe: 'granted limits', verdict: 'wrong' }]);
    expect([exit, err]).toEqual([1, '']);
  });
});

describe('the probe', () => {
  it('of retained reads reads at once what fits into the packets of the broker', async () => {
    const { probes } = await probe(sentinelOrder, 'max_packet_size 10000');
    expect(probes).toMatchObject([{ verdict: 'ok', measured: { rounds: 20, late_in_two_subscribes: 0 } }]);
    const topics = Number(probes[0]?.measured.topics);
    expect([topics > 50, topics < 200]).toEqual([true, true]);
  });

  it('of the absent member finds a limited queue weaker', async () => {
    const { verdict, probes } = await probe(absentMember, 'max_queued_messages 10');
    expect([verdict, probes[0]?.measured.to_absent]).toEqual(['weaker', 10]);
    expect(probes[0]?.found).toContain('queue limited');
  });

  it('of the redelivery finds a limited queue weaker: what had arrived comes again', async () => {
    const { verdict, probes } = await probe(redelivery, 'max_inflight_messages 5', 'max_queued_messages 5');
    expect([verdict, probes[0]?.found]).toEqual(['weaker', expect.stringContaining('queue limited')]);
  });
});
