/** A browser in front of the console. */
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { findProgram } from '../../../scripts/setup.mjs';

/** Nothing of Chromium may use the network, and a container has neither a sandbox nor a GPU. */
const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];

/** A page, and what the browser had to say about it. */
export interface Visit {
  page: Page;
  /** Errors of scripts, and what the content security policy has stopped. */
  faults: string[];
}

const DESKTOP = { width: 1360, height: 860 };

export class Operator {
  private readonly sessions = new Set<BrowserContext>();

  /** `url`: the address of the gateway. */
  constructor(
    private readonly browser: Browser,
    private readonly url: string,
  ) {}

  static launch(): Promise<Browser> {
    const executablePath = findProgram('chromium');
    if (executablePath === undefined) throw new Error('the tests of the console need chromium');
    return chromium.launch({ executablePath, args: ARGUMENTS });
  }

  /** Opens a view, or another page by its path from the root, in a session of its own, as somebody who has logged in; without a key, as a stranger. `hasClock`: a test may let the time of the page pass faster. */
  async visit(path: string, key?: string, { size = DESKTOP, hasClock = false } = {}): Promise<Visit> {
    const context = await this.browser.newContext({ viewport: size });
    this.sessions.add(context);
    if (key !== undefined) {
      const content = `sessionStorage.setItem('cloud-connector.token', ${JSON.stringify(key)})`;
      await context.addInitScript({ content });
    }
    const page = await context.newPage();
    if (hasClock) await page.clock.install();
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(`${error.name}: ${error.message}`));
    page.on('console', (message) => {
      // A request that the service refuses is shown on the page, which the tests look at.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        faults.push(message.text());
    });
    await page.goto(new URL(path, `${this.url}/console/`).href);
    return { page, faults };
  }

  /** Closes what was visited: a page that is open goes on reading, and slows down the next ones. */
  async leave(): Promise<void> {
    const sessions = [...this.sessions];
    this.sessions.clear();
    await Promise.all(sessions.map((context) => context.close()));
  }
}
