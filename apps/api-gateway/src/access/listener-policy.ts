/**
 * Which routes are served on which port. Callers use `PORT`. Metrics and documents are for those who run the service: if
 * `MANAGEMENT_PORT` is set, on that port alone; otherwise on `PORT` in development, and on no port in production.
 */
import type { Access } from '@app/platform';

export interface ListenerSettings {
  NODE_ENV: string;
  MANAGEMENT_PORT?: number | undefined;
}

export class ListenerPolicy {
  constructor(private readonly settings: ListenerSettings) {}

  /** Whether a route for this audience is served to a request that came in on this local port. */
  serves(audience: Access['audience'], localPort: number | undefined): boolean {
    const { MANAGEMENT_PORT, NODE_ENV } = this.settings;
    if (audience === 'public') return true;
    if (MANAGEMENT_PORT === undefined) return audience === 'api' || NODE_ENV !== 'production';
    return (localPort === MANAGEMENT_PORT) === (audience === 'management');
  }
}
