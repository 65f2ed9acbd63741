/** Every environment variable an app reads; manifests and the compose file may name no other. */
import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { dispatcherSettings } from '../../apps/dispatcher/src/dispatcher.settings.js';
import { ingesterSettings } from '../../apps/status-ingester/src/ingester.settings.js';

export interface AppSettings {
  readonly port: number;
  readonly settings: readonly string[];
}

export const APPS: Readonly<Record<string, AppSettings>> = {
  'api-gateway': { port: 3000, settings: Object.keys(gatewaySettings.shape) },
  'status-ingester': { port: 3001, settings: Object.keys(ingesterSettings.shape) },
  dispatcher: { port: 3002, settings: Object.keys(dispatcherSettings.shape) },
};

/** May carry credentials, so never written into a manifest. */
export const SECRETS: readonly string[] = ['REDIS_URL', 'MQTT_URL', 'SHARE_GROUP'];

/** Of a duration setting such as `10s`, in seconds. Throws on any other unit. */
export function seconds(duration: string | undefined): number {
  const digits = /^(\d+)s$/.exec(duration ?? '')?.[1];
  if (digits === undefined) throw new Error(`not a number of seconds: ${String(duration)}`);
  return Number(digits);
}
