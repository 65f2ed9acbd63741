/**
 * `npm run conformance -- --command "python3 examples/device-python/device.py"`: plays the service against a device program, and says
 * of each rule of docs/protocol.md whether it keeps it. Exits with 0 if it keeps all, with 1 if not, with 2 if the call is wrong.
 * docs/conformance.md says what a program must support.
 */
import { styleText, parseArgs } from 'node:util';
import { SetupError, ensureBuild, ensurePackages } from '../../scripts/setup.mjs';
import { RULES } from './rules.mjs';
import { firstToFix, noConnection } from './summary.mjs';

const USAGE = `npm run conformance -- --command "python3 examples/device-python/device.py"

  --command LINE     starts the device program, with MQTT_URL, CLIENT_ID and STATE_DIR in its environment
  --directive NAME   what it can do, demo:ping by default
  --rule ID          checks this rule only; may be given several times
  --list             prints the rules
  --timeout SECONDS  how long the test waits for each thing that must come, 30 by default
  --output FORM      text or json
  --help             prints this`;

const options = parse();
if (options.list) list();
else process.exitCode = await check();

function parse() {
  try {
    const { values } = parseArgs({
      options: {
        command: { type: 'string' },
        directive: { type: 'string', default: 'demo:ping' },
        rule: { type: 'string', multiple: true, default: RULES.map(({ id }) => id) },
        list: { type: 'boolean', default: false },
        timeout: { type: 'string', default: '30' },
        output: { type: 'string', default: 'text' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const timeoutMs = Number(values.timeout) * 1000;
    const unknown = values.rule.filter((id) => !RULES.some((rule) => rule.id === id));
    if (unknown.length > 0) throw new Error(`there is no rule ${unknown.join(', ')}; --list prints the rules`);
    if (!(timeoutMs > 0)) throw new Error('--timeout must be a number of seconds above 0');
    if (values.output !== 'text' && values.output !== 'json') throw new Error('--output must be text or json');
    if (values.command === undefined && !values.list) throw new Error('--command is missing');
    return { ...values, command: values.command ?? '', timeoutMs };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

function list() {
  if (options.output === 'json') console.log(JSON.stringify(RULES, undefined, 2));
  else for (const { id, section, text } of RULES) console.log(`${id.padEnd(24)}${text} ("${section}")`);
}

/** @returns the exit code */
async function check() {
  try {
    ensurePackages('run');
    ensureBuild();
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error);
    return 1;
  }
  const { judge } = await import('./scenarios.mjs');
  const { killAll } = await import('./program.mjs');
  process.once('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const protocol = await import(new URL('../../dist/libs/protocol/src/index.js', import.meta.url).href);
  const { command, directive, timeoutMs } = options;
  const verdicts = await judge({ command, directive, timeoutMs, protocol }, options.rule);
  if (options.output === 'json') console.log(JSON.stringify(verdicts, undefined, 2));
  else report(verdicts);
  return verdicts.every(({ outcome }) => outcome === 'ok') ? 0 : 1;
}

/** @param {import('./trial.mjs').Verdict[]} verdicts */
function report(verdicts) {
  const end = noConnection(verdicts);
  if (end !== undefined) return void console.log(`No rule was reached: ${end}`);
  for (const { rule: id, outcome, seen } of verdicts) {
    const rule = RULES.find((one) => one.id === id);
    const mark = {
      ok: styleText('green', 'ok'),
      broken: styleText('red', 'broken'),
      'not-reached': styleText('yellow', 'not reached'),
    };
    console.log(`${mark[outcome]}  ${id}: ${rule?.text}`);
    if (outcome !== 'ok') console.log(`    docs/protocol.md, "${rule?.section}". Seen: ${seen}`);
  }
  const kept = verdicts.filter(({ outcome }) => outcome === 'ok').length;
  console.log(`\n${kept} of ${verdicts.length} rules are kept.`);
  const first = firstToFix(verdicts);
  if (first !== undefined) console.log(`Fix ${first.rule} first: ${first.others} others may follow from it.`);
}
