/** The commands that `npm start` prints to try the system carry the credentials that the gateway asks for. */
import { tryIt } from '../../scripts/try-it.mjs';

const system = { api: 'http://127.0.0.1:3000', mqttUrl: 'mqtt://127.0.0.1:1883' };

it.each([
  { devices: 0, commands: 1 },
  { devices: 3, commands: 2 },
])('the first message takes one command without credentials, with $devices devices', ({ devices, commands }) => {
  const lines = tryIt({ ...system, devices, env: {} });
  expect(lines).toHaveLength(commands);
  expect(lines.join()).not.toContain('authorization');
  expect(lines.at(-1)).toContain("-H 'prefer: wait=");
});

it('the command-line tool is pointed to another address, and gets the key', () => {
  const elsewhere = { ...system, api: 'http://127.0.0.1:4711' };
  const [, line] = tryIt({ ...elsewhere, devices: 3, env: { API_KEYS_FILE: '/keys/api.json' } });
  expect(line).toMatch(
    /^CLOUD_CONNECTOR_URL=http:\/\/127.0.0.1:4711 CLOUD_CONNECTOR_TOKEN="\$KEY" npx --no-install cloud-connector/,
  );
});

it.each([0, 3])(
  'the commands make a key if there is a key file, and every request carries it, with %i devices',
  (devices) => {
    const [make = '', ...uses] = tryIt({ ...system, devices, env: { API_KEYS_FILE: '/keys/api.json' } });
    expect(make).toMatch(/^KEY=\$\(npm run --silent key -- create .* --file '\/keys\/api\.json'\)/);
    const requests = uses.join('; ').match(/\bcurl [^;]*/g) ?? [];
    expect(requests.length).toBeGreaterThan(0);
    for (const request of requests) expect(request).toContain('"authorization: Bearer $KEY"');
  },
);

it('the commands ask for a token of the issuer if there is one', () => {
  const [make] = tryIt({ ...system, devices: 0, env: { JWT_ISSUER: 'https://issuer.example' } });
  expect(make).toContain('a token of https://issuer.example');
});
