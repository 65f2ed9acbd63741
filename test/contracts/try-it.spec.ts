/** The commands that `npm start` prints to try the system carry the credentials that the gateway asks for. */
import { tryIt } from '../../scripts/try-it.mjs';

const system = { api: 'http://127.0.0.1:3000', mqttUrl: 'mqtt://127.0.0.1:1883' };

it.each([0, 3])('the first message takes one command without credentials, with %i devices', (devices) => {
  const lines = tryIt({ ...system, devices, env: {} });
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain('authorization');
  expect(lines[0]).toContain("-H 'prefer: wait=");
});

it.each([0, 3])(
  'the commands make a key if there is a key file, and every request carries it, with %i devices',
  (devices) => {
    const [make = '', use = ''] = tryIt({ ...system, devices, env: { API_KEYS_FILE: '/keys/api.json' } });
    expect(make).toMatch(/^KEY=\$\(npm run --silent key -- create .* --file '\/keys\/api\.json'\)/);
    const requests = use.match(/\bcurl [^;]*/g) ?? [];
    expect(requests.length).toBeGreaterThan(0);
    for (const request of requests) expect(request).toContain('"authorization: Bearer $KEY"');
  },
);

it('the commands ask for a token of the issuer if there is one', () => {
  const [make] = tryIt({ ...system, devices: 0, env: { JWT_ISSUER: 'https://issuer.example' } });
  expect(make).toContain('a token of https://issuer.example');
});
