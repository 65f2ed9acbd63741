import { UptimeProof, type Uptime } from './uptime-proof.js';

let proof: UptimeProof;

beforeEach(() => {
  proof = new UptimeProof();
});

/** Observes reports of [seconds of uptime, second of arrival]. @returns those that count, as [uptime, run] */
function counted(...reports: [uptime: number, arrival: number][]): [number, Uptime['run']][] {
  return reports.flatMap(([seconds, arrival]) => {
    const uptime = proof.observe(seconds, arrival * 1000);
    return uptime === undefined ? [] : [[uptime.seconds, uptime.run] as [number, Uptime['run']]];
  });
}

describe('UptimeProof', () => {
  it('counts a report that the report before it confirms', () => {
    expect(counted([100, 0], [110, 10], [120, 20])).toEqual([
      [110, 'unknown'],
      [120, 'same'],
    ]);
  });

  it('counts no report of a burst that waited in the socket while the process was frozen', () => {
    counted([100, 0], [110, 10]);
    expect(counted([120, 50], [130, 50], [140, 50], [150, 50])).toEqual([]);
    expect(counted([160, 60])).toEqual([[160, 'same']]);
  });

  it('counts no report of such a burst if the broker reports each second', () => {
    const burst = Array.from({ length: 40 }, (_, i): [number, number] => [100 + i, 40]);
    expect(counted(...burst)).toEqual([]);
    expect(counted([140, 41], [141, 42], [142, 43], [143, 44], [144, 45])).toEqual([[144, 'unknown']]);
  });

  it('detects a restart by a lower uptime, at the second report', () => {
    counted([100, 0], [110, 10]);
    proof.connected();
    expect(counted([5, 20], [15, 30])).toEqual([[15, 'new']]);
  });

  it('detects a restart during a freeze of the process, also if the uptime exceeds the old one again', () => {
    counted([100, 0], [110, 10]);
    counted([120, 500], [130, 500]);
    proof.connected();
    expect(counted([300, 505], [310, 515])).toEqual([[310, 'new']]);
  });

  it('does not take a lost connection for a restart', () => {
    counted([100, 0], [110, 10]);
    proof.connected();
    expect(counted([190, 90], [200, 100])).toEqual([[200, 'same']]);
  });

  it('does not take the drift of clocks over days without a connection for a restart', () => {
    const day = 86_400;
    counted([100, 0], [110, 10]);
    proof.connected();
    expect(counted([day + 90, day], [day + 100, day + 10])).toEqual([[day + 100, 'same']]);
  });

  it('does not take a freeze of the broker for a restart, because the connection is the same', () => {
    counted([100, 0], [110, 10]);
    expect(counted([115, 100], [125, 110])).toEqual([[125, 'same']]);
  });

  it('cannot tell what happened while its own clock was suspended', () => {
    counted([100, 0], [110, 10]);
    proof.connected();
    expect(counted([900, 15], [910, 25])).toEqual([[910, 'unknown']]);
  });

  it('detects a restart behind a proxy that keeps the connection open', () => {
    counted([100, 0], [110, 10]);
    expect(counted([5, 20], [15, 30])).toEqual([[15, 'new']]);
  });
});
