/**
 * The API keys of `API_KEYS_FILE`, read again whenever the file changes; a file that cannot be understood changes
 * nothing, and says so. The file's state is looked at once a second, because no event tells of every way it is
 * replaced: Kubernetes swaps a symbolic link beside it, editors rename over it, network and bind mounts stay silent.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { SettingsError, counter, type Logger } from '@app/platform';
import { ApiKeys } from './api-keys.js';
import type { Caller } from './caller.js';

const reloads = counter('api_key_reloads', 'Times the file of API keys changed, by outcome.', ['outcome']);

const LOOK_EVERY_MS = 1000;

export class WatchedKeys {
  private keys: ApiKeys;
  private text: string;

  /** @throws SettingsError where the file is wrong at the start: nobody could call. */
  constructor(
    private readonly path: string,
    private readonly logger: Logger,
  ) {
    watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, () => this.reload());
    try {
      this.text = readFileSync(path, 'utf8');
      this.keys = ApiKeys.parse(this.text);
    } catch (error) {
      this.close();
      const why = error instanceof Error ? error.message : String(error);
      throw new SettingsError(`wrong settings: API_KEYS_FILE: ${path}: ${why}`);
    }
    logger.info({ keys: this.keys.size }, 'API keys read');
  }

  callerOf(presented: string): Caller | undefined {
    return this.keys.callerOf(presented);
  }

  isCurrent(caller: Caller): boolean {
    return this.keys.isCurrent(caller);
  }

  close(): void {
    unwatchFile(this.path);
  }

  private reload(): void {
    try {
      const text = readFileSync(this.path, 'utf8');
      if (text === this.text) return;
      this.keys = ApiKeys.parse(text, this.keys);
      this.text = text;
      reloads.inc({ outcome: 'read' });
      this.logger.info({ keys: this.keys.size }, 'API keys read again');
    } catch (error) {
      reloads.inc({ outcome: 'refused' });
      this.logger.error({ err: error }, 'API_KEYS_FILE cannot be used; the keys read before stay in force');
    }
  }
}
