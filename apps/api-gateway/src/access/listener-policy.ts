/**
 * Which port serves which routes. The API and the pages that use it are served on `PORT`. Metrics and documents are for operators: they are served on
 * `MANAGEMENT_PORT` only; if it is unset, on `PORT` in development, and not at all in production.
 */
import type { Access } from '@app/platform';

export interface ListenerSettings {
  NODE_ENV: string;
  MANAGEMENT_PORT?: number | undefined;
}

export class ListenerPolicy {
  constructor(private readonly settings: ListenerSettings) {}

  /** Whether this local port serves routes for this audience. */
  serves(audience: Access['audience'], localPort: number | undefined): boolean {
    const { MANAGEMENT_PORT, NODE_ENV } = this.settings;
    if (audience === 'public') return true;
    if (MANAGEMENT_PORT === undefined) return audience !== 'management' || NODE_ENV !== 'production';
    return (localPort === MANAGEMENT_PORT) === (audience === 'management');
  }
}
