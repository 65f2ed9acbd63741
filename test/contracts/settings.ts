/** Every environment variable an app reads; manifests and the compose file may name no other. */

export interface AppSettings {
  readonly port: number;
  readonly settings: readonly string[];
}

const COMMON = ['PORT', 'HOST', 'LOG_LEVEL', 'REDIS_URL', 'KEY_PREFIX', 'SHARD_COUNT', 'SHUTDOWN_GRACE'];

export const APPS: Readonly<Record<string, AppSettings>> = {
  'api-gateway': { port: 3000, settings: [...COMMON, 'MAX_PAYLOAD_BYTES', 'OUTBOX_LIMIT', 'COMMAND_TIMEOUT'] },
  'status-ingester': {
    port: 3001,
    settings: [
      ...COMMON,
      'MQTT_URL',
      'STATUS_TOPICS',
      'IN_TOPIC',
      'OUT_TOPIC',
      'INTAKE_LANES',
      'INTAKE_WINDOW',
      'SHARE_GROUP',
      'MAX_INBOUND_BYTES',
      'MAILBOX_LIMIT',
      'HANDSHAKE_RESPONSE',
      'CONNECTION_RETENTION',
    ],
  },
  dispatcher: {
    port: 3002,
    settings: [...COMMON, 'MQTT_URL', 'OUT_TOPIC', 'DISPATCH_CONCURRENCY', 'MESSAGE_RETENTION'],
  },
};

/** May carry credentials, so never written into a manifest. */
export const SECRETS: readonly string[] = ['REDIS_URL', 'MQTT_URL', 'SHARE_GROUP'];

/** Of a duration setting such as `10s`, in seconds. Throws on any other unit. */
export function seconds(duration: string | undefined): number {
  const digits = /^(\d+)s$/.exec(duration ?? '')?.[1];
  if (digits === undefined) throw new Error(`not a number of seconds: ${String(duration)}`);
  return Number(digits);
}
