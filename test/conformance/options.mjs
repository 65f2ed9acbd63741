/** The options of `npm run conformance`. */
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { RULES } from './rules.mjs';

/** A device may pause so long before its third attempt to come back. */
const SHORTEST_TIMEOUT_S = 20;
const ANY_ADDRESS = ['0.0.0.0', '::'];

export const USAGE = `npm run conformance -- --command "python3 examples/device-python/device.py"

  --command LINE     starts the device program, with MQTT_URL, CLIENT_ID and STATE_DIR in its environment
  --directive NAME   what it can do, demo:ping by default
  --payload JSON     what the message carries, {"job":7} by default
  --rule ID          checks this rule only; may be given several times
  --skip ID          does not check this rule; may be given several times
  --list             prints the rules
  --timeout SECONDS  how long the test waits for each thing that must come, 30 by default, 20 or more
  --at-once N        how many programs run at the same time; all by default
  --listen ADDRESS   the address of this machine that MQTT_URL names, 127.0.0.1 by default; anybody who can reach it can connect
  --output FORM      text or json
  --help             prints this`;

/** @param {string[]} args @returns what they ask for; throws what is wrong with them, in words for the caller */
export function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      command: { type: 'string' },
      directive: { type: 'string', default: 'demo:ping' },
      payload: { type: 'string', default: '{"job":7}' },
      rule: { type: 'string', multiple: true, default: RULES.map(({ id }) => id) },
      skip: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      timeout: { type: 'string', default: '30' },
      'at-once': { type: 'string', default: String(RULES.length) },
      listen: { type: 'string', default: '127.0.0.1' },
      output: { type: 'string', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const { command, directive, skip, list, help, output, listen: host } = values;
  const unknown = [...values.rule, ...skip].filter((id) => !RULES.some((rule) => rule.id === id));
  if (unknown.length > 0) throw new Error(`there is no rule ${unknown.join(', ')}; --list prints the rules`);
  const rules = values.rule.filter((id) => !skip.includes(id));
  if (rules.length === 0) throw new Error('--skip leaves no rule to check');
  const timeoutMs = Number(values.timeout) * 1000;
  if (!(timeoutMs >= SHORTEST_TIMEOUT_S * 1000 && timeoutMs <= 3_600_000))
    throw new Error(`--timeout must be a number of seconds, ${SHORTEST_TIMEOUT_S} to 3600: a device may pause so long`);
  const atOnce = Number(values['at-once']);
  if (!(Number.isInteger(atOnce) && atOnce >= 1)) throw new Error('--at-once must be a whole number, 1 or more');
  if (isIP(host) === 0 || ANY_ADDRESS.includes(host))
    throw new Error('--listen must be one IP address of this machine that the device can reach, such as 192.0.2.7');
  if (output !== 'text' && output !== 'json') throw new Error('--output must be text or json');
  if (command === undefined && !list && !help) throw new Error('--command is missing');
  return {
    ...{ command: command ?? '', directive, payload: payloadOf(values.payload), rules, list, help },
    ...{ timeoutMs, atOnce, host, output },
  };
}

/** @param {string} text @returns {unknown} */
function payloadOf(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`--payload must be JSON, in quotes for the shell, such as '{"job":7}': ${why}`, { cause: error });
  }
}
