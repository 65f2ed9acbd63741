/** A picture of the command-line tool: its real output on a terminal, drawn by the browser that takes the other pictures. */
import { spawnSync } from 'node:child_process';
import { AnsiUp } from 'ansi_up';
import { ROOT } from './setup.mjs';

const COLUMNS = 100;
const STYLE = `
  body { margin: 0; background: #f3f4f6; }
  main { display: inline-block; margin: 16px; padding: 16px 20px; border-radius: 10px; background: #15181e; }
  pre { margin: 0; color: #d7dae0; font: 14px/1.45 'DejaVu Sans Mono', monospace; }
  b { color: #7ee787; font-weight: 600; }`;

/**
 * @param {import('playwright-core').Browser} browser @param {string} file
 * @param {string[]} commands of the tool, as they are typed @param {Record<string, string>} env
 */
export async function pictureOfTerminal(browser, file, commands, env) {
  const colours = new AnsiUp();
  const shown = commands.map((command) => {
    const line = `cloud-connector ${command}`;
    return `<b>$</b> ${colours.ansi_to_html(line)}\n${colours.ansi_to_html(outputOf(command, env))}`;
  });
  const page = await browser.newPage({ viewport: { width: 1000, height: 400 }, deviceScaleFactor: 2 });
  await page.setContent(`<style>${STYLE}</style><main><pre>${shown.join('\n')}</pre></main>`);
  await page.locator('main').screenshot({ path: file });
  await page.close();
}

/** @param {string} command @param {Record<string, string>} env @returns {string} what it prints on a terminal of its own */
function outputOf(command, env) {
  const line = `stty cols ${COLUMNS}; exec "${process.execPath}" scripts/cli.mjs ${command}`;
  const { status, stdout } = spawnSync('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, ...env, TERM: 'xterm-256color' },
  });
  if (status !== 0) throw new Error(`cloud-connector ${command} ended with ${status}: ${stdout}`);
  // A progress bar is drawn again and again over the same line.
  return stdout.replaceAll('\r\n', '\n').replace(/^.*\r/gm, '');
}
