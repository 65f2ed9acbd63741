/** Waits until the service knows the simulated devices as online: the commands that `npm start` prints work then. */
import { waitUntil } from './stack.mjs';

/** A page of the API has no more rows. */
const PAGE = 1000;

/**
 * Resolves when the devices, or the first thousand that the service lists, are online, or when the time is over.
 * @param {string} api
 * @param {number} count
 * @returns {Promise<number | undefined>} how many are online; undefined if the gateway does not say so without credentials
 */
export async function onlineDevices(api, count, timeoutMs = 20_000) {
  const wanted = Math.min(count, PAGE);
  /** @type {number | undefined} */
  let online = 0;
  const check = async () => {
    const response = await fetch(`${api}/v1/connections?state=online&client_id_prefix=device-&limit=${PAGE}`);
    if (response.status === 401 || response.status === 403) {
      online = undefined;
      return;
    }
    if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
    /** @type {{ data: { client_id: string }[] }} */
    const { data } = await response.json();
    online = data.filter(({ client_id: id }) => numberOf(id) <= count).length;
    if (online < wanted) throw new Error(`${online} are online`);
  };
  try {
    await waitUntil(check, { what: 'the devices', timeoutMs, everyMs: 100 });
  } catch {
    // The caller says how many are online.
  }
  return online === wanted ? count : online;
}

function numberOf(/** @type {string} */ id) {
  return /^device-\d+$/.test(id) ? Number(id.slice('device-'.length)) : Infinity;
}

/**
 * @param {number} devices
 * @param {number | undefined} online
 * @param {string} log
 */
export function fleetText(devices, online, log) {
  const all = devices === 1 ? '1 device, device-0001' : `${devices} devices, device-0001 and on`;
  if (online === undefined || online >= devices) return all;
  return `${all}; only ${online} online so far, see ${log}`;
}
