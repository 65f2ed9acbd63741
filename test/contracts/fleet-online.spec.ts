/** `npm start` says that the system is up when its simulated devices are online, and says so if they are not. */
import { fleetText, onlineDevices } from '../../scripts/fleet-online.mjs';
import { CliServer } from '../support/cli.js';

const server = new CliServer();

beforeAll(() => server.start());
afterAll(() => server.stop());

/** One more device is online with each request. */
function growing(ids: readonly string[]): () => number {
  let requests = 0;
  server.answer = (response, { url = '' }) => {
    expect(url).toContain('state=online&client_id_prefix=device-');
    requests++;
    response.end(JSON.stringify({ data: ids.slice(0, requests).map((id) => ({ client_id: id })), next_cursor: null }));
  };
  return () => requests;
}

it('it waits until each device is online; others with such a name do not count', async () => {
  const requests = growing(['device-0001', 'device-0007', 'device-x', 'device-0002', 'device-0003']);
  expect(await onlineDevices(server.url, 3)).toBe(3);
  expect(requests()).toBe(5);
});

it('it waits no longer than its limit, and counts those that came', async () => {
  growing(['device-0001']);
  expect(await onlineDevices(server.url, 3, 1)).toBe(1);
});

it('it does not wait if the gateway asks for credentials', async () => {
  server.answerWith({}, 401);
  expect(await onlineDevices(server.url, 3)).toBeUndefined();
});

it.each([
  [1, 1, '1 device, device-0001'],
  [3, 3, '3 devices, device-0001 and on'],
  [3, undefined, '3 devices, device-0001 and on'],
  [3, 2, '3 devices, device-0001 and on; only 2 online so far, see /data/fleet.log'],
])('of %i devices with %p online it says: %s', (devices, online, text) => {
  expect(fleetText(devices, online, '/data/fleet.log')).toBe(text);
});
