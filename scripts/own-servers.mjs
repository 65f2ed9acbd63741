/** What `npm start` says about servers of the user's own: a variable that is set in the shell for something else is easily overlooked. */

const SERVERS = [
  { variable: 'REDIS_URL', server: 'Redis' },
  { variable: 'MQTT_URL', server: 'broker' },
];

/** @param {Record<string, string | undefined>} env @returns {string[]} lines */
export function ownServers(env) {
  return set(env).map(
    ({ variable, server, url }) => `${variable} is set: using the ${server} at ${placeOf(url)}, none is started.`,
  );
}

/** For the end of an error. @param {Record<string, string | undefined>} env @returns {string} */
export function ownServersHint(env) {
  return set(env)
    .map(
      ({ variable, server, url }) =>
        `\n${variable} names the ${server} at ${placeOf(url)}: unset it to have one started.`,
    )
    .join('');
}

/** @param {Record<string, string | undefined>} env */
function set(env) {
  return SERVERS.flatMap(({ variable, server }) => {
    const url = env[variable];
    return url ? [{ variable, server, url }] : [];
  });
}

/** Without user and password. @param {string} url */
function placeOf(url) {
  return URL.canParse(url) ? new URL(url).host : 'the address in it';
}
