import { UptimeProof, type Uptime } from './uptime-proof.js';

let proof: UptimeProof;

beforeEach(() => {
  proof = new UptimeProof();
});

/** Reports as [seconds of uptime, second of arrival]. @returns those that count, as [uptime, run] */
function counted(...reports: [uptime: number, arrival: number][]): [number, Uptime['run']][] {
  return reports.flatMap(([seconds, arrival]) => {
    const uptime = proof.take(seconds, arrival * 1000);
    return uptime === undefined ? [] : [[uptime.seconds, uptime.run] as [number, Uptime['run']]];
  });
}

it('counts a report that the one before it confirms', () => {
  expect(counted([100, 0], [110, 10], [120, 20])).toEqual([
    [110, 'unknown'],
    [120, 'same'],
  ]);
});

it('counts no report of a burst that waited while the process was frozen', () => {
  counted([100, 0], [110, 10]);
  expect(counted([120, 50], [130, 50], [140, 50], [150, 50])).toEqual([]);
  expect(counted([160, 60])).toEqual([[160, 'same']]);
});

it('counts no report of such a burst when the broker reports each second', () => {
  const burst = Array.from({ length: 40 }, (_, i): [number, number] => [100 + i, 40]);
  expect(counted(...burst)).toEqual([]);
  expect(counted([140, 41], [141, 42], [142, 43], [143, 44], [144, 45])).toEqual([[144, 'unknown']]);
});

it('notices a restart behind which the uptime has fallen, at the second report', () => {
  counted([100, 0], [110, 10]);
  proof.connected();
  expect(counted([5, 20], [15, 30])).toEqual([[15, 'new']]);
});

it('notices a restart while it was frozen, also if the uptime has passed the old one again', () => {
  counted([100, 0], [110, 10]);
  counted([120, 500], [130, 500]);
  proof.connected();
  expect(counted([300, 505], [310, 515])).toEqual([[310, 'new']]);
});

it('takes a connection that was lost for no restart', () => {
  counted([100, 0], [110, 10]);
  proof.connected();
  expect(counted([190, 90], [200, 100])).toEqual([[200, 'same']]);
});

it('takes clocks that drift apart in days without a connection for no restart', () => {
  const day = 86_400;
  counted([100, 0], [110, 10]);
  proof.connected();
  expect(counted([day + 90, day], [day + 100, day + 10])).toEqual([[day + 100, 'same']]);
});

it('takes a broker that was frozen itself for no restart, since the connection is the same', () => {
  counted([100, 0], [110, 10]);
  expect(counted([115, 100], [125, 110])).toEqual([[125, 'same']]);
});

it('does not know what happened while its own clock stood still', () => {
  counted([100, 0], [110, 10]);
  proof.connected();
  expect(counted([900, 15], [910, 25])).toEqual([[910, 'unknown']]);
});

it('notices a restart behind a proxy that kept the connection', () => {
  counted([100, 0], [110, 10]);
  expect(counted([5, 20], [15, 30])).toEqual([[15, 'new']]);
});
