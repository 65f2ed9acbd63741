/**
 * A file that is read again when it changes. If the new content is invalid, the old content stays in force, and the log says
 * so. The file is polled once a second, because no event covers every way to replace a file: Kubernetes swaps a symbolic
 * link, editors rename another file, and network mounts report nothing.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { Logger } from './logger.js';
import { OPEN, counter } from './metrics.js';
import { SettingsError } from './settings.js';

const reads = counter('file_reads', 'Times a file that a setting names was read again, by setting and outcome.', {
  setting: OPEN,
  outcome: ['read', 'refused'],
});

const POLL_MS = 1000;

export class WatchedFile<Content> {
  private text: string;
  private current: Content;
  private isRefused = false;
  private readonly onChange = (): void => this.readAgain();

  /**
   * @param parse throws an Error that says what is wrong and contains no secret; `before` is the content that is in force
   * @throws SettingsError if the file is invalid at the start
   */
  constructor(
    private readonly setting: string,
    private readonly path: string,
    private readonly parse: (text: string, before?: Content) => Content,
    private readonly logger: Logger,
  ) {
    for (const outcome of ['read', 'refused']) reads.inc({ setting, outcome }, 0);
    watchFile(path, { interval: POLL_MS, persistent: false }, this.onChange);
    try {
      this.text = readFileSync(path, 'utf8');
      this.current = parse(this.text);
    } catch (error) {
      this.close();
      const why = error instanceof Error ? error.message : String(error);
      throw new SettingsError(`wrong settings: ${setting}: ${path}: ${why}`);
    }
  }

  get content(): Content {
    return this.current;
  }

  close(): void {
    unwatchFile(this.path, this.onChange);
  }

  private readAgain(): void {
    const { setting, path } = this;
    try {
      const text = readFileSync(path, 'utf8');
      if (text === this.text && !this.isRefused) return;
      this.current = this.parse(text, this.current);
      this.text = text;
      this.isRefused = false;
      reads.inc({ setting, outcome: 'read' });
      this.logger.info({ path }, `${setting} read again`);
    } catch (error) {
      this.isRefused = true;
      reads.inc({ setting, outcome: 'refused' });
      this.logger.error({ err: error, path }, `${setting} is invalid: the content that was read before stays in force`);
    }
  }
}
