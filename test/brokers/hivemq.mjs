/** HiveMQ CE, a broker in Java. It keeps everything in memory: a restart forgets sessions and retained messages. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HOST, freePort, launch, ping } from '../../scripts/stack.mjs';
import { build, buildFolder, sourceFolder } from '../support/build-tool.mjs';

const OUTPUT = buildFolder('brokers/hivemq');
const CLASSPATH = join(OUTPUT, 'classpath.txt');

/** Little memory and a quick start: it shares a small machine with the apps. */
const JAVA_OPTIONS = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** @returns {string | undefined} why it cannot run here */
export function prepareHivemq() {
  const args = ['-q', '-B', 'compile', `-Doutput=${OUTPUT}`];
  const failure = 'its Maven packages cannot be had, or it cannot be built';
  return build(['mvn', 'java'], args, { language: 'Java', cwd: sourceFolder('brokers/hivemq'), failure });
}

/** @param {import('./brokers.mjs').Options} options */
export async function startHivemq({ dir, port, persist = false }) {
  if (persist) throw new Error('HiveMQ CE is started in memory only');
  if (!existsSync(CLASSPATH)) throw new Error(`${CLASSPATH} is missing: call prepareHivemq() first`);
  const at = port ?? (await freePort());
  const home = join(dir, 'hivemq');
  rmSync(home, { recursive: true, force: true });
  const classpath = `${join(OUTPUT, 'classes')}:${readFileSync(CLASSPATH, 'utf8')}`;
  const part = launch('hivemq', 'java', [...JAVA_OPTIONS, '-cp', classpath, 'Broker', `${at}`, home], { dir });
  await part.until(() => ping(at));
  return Object.assign(part, { port: at, url: `mqtt://${HOST}:${at}` });
}
