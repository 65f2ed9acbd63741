/**
 * `npm run conformance -- --command "python3 examples/device-python/device.py"`: plays the service against a device program, and says
 * of each rule of docs/protocol.md whether it keeps it. Exits with 0 if it keeps all, with 1 if not, with 2 if the call is wrong.
 * docs/conformance.md says what a program must support.
 */
import { styleText } from 'node:util';
import { SetupError, ensureBuild, ensurePackages } from '../../scripts/setup.mjs';
import { USAGE, readOptions } from './options.mjs';
import { RULES, placeOf } from './rules.mjs';
import { firstToFix, noConnection, onceEach } from './summary.mjs';

const options = parse();
if (options.help) console.log(USAGE);
else if (options.list) list();
else process.exitCode = await check();

function parse() {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${wordsOf(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}

function list() {
  if (options.output === 'json') console.log(JSON.stringify(RULES, undefined, 2));
  else for (const rule of RULES) console.log(`${rule.id.padEnd(24)}${rule.text} (${placeOf(rule)})`);
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
  const { command, directive, payload, timeoutMs, atOnce, host } = options;
  const { Broker } = await import('./broker.mjs');
  try {
    const broker = await Broker.create(host);
    await broker.listen();
    broker.close();
  } catch (error) {
    console.error(`--listen ${host} cannot be used: ${wordsOf(error)}`);
    return 2;
  }
  const { judge } = await import('./scenarios.mjs');
  const { killAll } = await import('./program.mjs');
  process.once('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const protocol = await import(new URL('../../dist/libs/protocol/src/index.js', import.meta.url).href);
  const settings = { command, directive, payload, timeoutMs, atOnce, host, protocol };
  const verdicts = await judge(settings, options.rules);
  if (options.output === 'json') console.log(JSON.stringify(verdicts, undefined, 2));
  else report(verdicts);
  return verdicts.every(({ outcome }) => outcome === 'ok') ? 0 : 1;
}

/** @param {import('./trial.mjs').Verdict[]} verdicts */
function report(verdicts) {
  const never = noConnection(verdicts);
  if (never !== undefined) {
    console.log(`No rule was reached: ${never.seen}`);
    return printedLast(never);
  }
  const mark = {
    ok: styleText('green', 'ok'),
    broken: styleText('red', 'broken'),
    'not-reached': styleText('yellow', 'not reached'),
  };
  for (const verdict of onceEach(verdicts)) {
    const rule = RULES.find(({ id }) => id === verdict.rule);
    console.log(`${mark[verdict.outcome]}  ${verdict.rule}: ${rule?.text}`);
    if (verdict.outcome === 'ok' || rule === undefined) continue;
    console.log(`    docs/protocol.md, ${placeOf(rule)}. Seen: ${verdict.seen}`);
    printedLast(verdict);
  }
  const kept = verdicts.filter(({ outcome }) => outcome === 'ok').length;
  console.log(`\n${kept} of ${verdicts.length} rules are kept.`);
  const first = firstToFix(verdicts);
  if (first !== undefined) console.log(`Fix ${first.rule} first: ${first.others} others may follow from it.`);
}

/** @param {{ printed?: string | undefined }} verdict */
function printedLast({ printed }) {
  if (printed !== undefined && printed !== '') console.log(`    The program printed last: ${printed}`);
}
