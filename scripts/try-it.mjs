/** The commands that `npm start` prints to try the system with: they print the answer of a device. */

/** Where the command-line tool looks without being asked to look elsewhere. */
const DEFAULT_URL = 'http://127.0.0.1:3000';

/**
 * @param {{ api: string, mqttUrl: string, devices: number, env: NodeJS.ProcessEnv }} about
 * @returns {string[]} lines
 */
export function tryIt({ api, mqttUrl, devices, env }) {
  const key = credentials(env);
  const header = key.length > 0 ? ' -H "authorization: Bearer $KEY"' : '';
  const send = (/** @type {string} */ id) =>
    `curl -s -X POST ${api}/v1/connections/${id}/messages${header} -H 'content-type: application/json' -H 'prefer: wait=10' ` +
    `-d '{"directive":"demo:ping","payload":{"hello":"device"}}'`;
  const tool = [
    ...(api === DEFAULT_URL ? [] : [`CLOUD_CONNECTOR_URL=${api}`]),
    ...(key.length > 0 ? ['CLOUD_CONNECTOR_TOKEN="$KEY"'] : []),
    `npx --no-install cloud-connector messages call device-0001 demo:ping --payload '{"hello":"device"}'`,
  ];
  if (devices > 0) return [...key, tool.join(' '), send('device-0001')];
  return [
    ...key,
    `node examples/device/device.mjs --url ${mqttUrl} --id my-host & sleep 1; ${send('my-host')}; kill $!`,
  ];
}

/** How to get the credentials that the gateway requires; nothing if it requires none. */
function credentials(/** @type {NodeJS.ProcessEnv} */ env) {
  const file = env.API_KEYS_FILE;
  if (file)
    return [`KEY=$(npm run --silent key -- create --id "try-$(date +%s)" --scopes all --file '${file}'); sleep 3`];
  return env.JWT_ISSUER ? [`KEY=…   # a token of ${env.JWT_ISSUER}`] : [];
}
