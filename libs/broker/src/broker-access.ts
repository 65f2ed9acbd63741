/**
 * The address of the broker and the credentials of this process: none, user and password, a client certificate, or both.
 * Secrets are read from files at each connect, so they may change while the process runs.
 */
import { readFileSync } from 'node:fs';
import { readableFile, section, url, type Logger } from '@app/platform';
import type { IClientOptions } from 'mqtt';
import { z } from 'zod';

export type Credentials = Pick<IClientOptions, 'username' | 'password' | 'ca' | 'cert' | 'key'>;

export interface BrokerAccess {
  /** `mqtt://host:port`, or `mqtts://host:port` for TLS. May carry user and password. */
  url: string;
  /** The credentials for the next connect. Never throws. */
  credentials?: () => Credentials;
  /** Seconds of silence after which a ping is sent. The broker counts as gone if half as much later no reply has come. */
  keepAliveSeconds?: number;
}

/** Settings of every app that talks to the broker. Checked together by `checkBrokerSettings`. */
export const brokerSettings = section('Broker', {
  MQTT_URL: url('mqtt://127.0.0.1:1883', 'mqtt', 'mqtts').describe(
    'Address of the broker: `mqtt://host:port`, or `mqtts://host:port` for TLS.',
  ),
  MQTT_USERNAME: z.string().max(256).optional().describe('User name with which the app connects.'),
  MQTT_PASSWORD_FILE: readableFile()
    .optional()
    .describe('File that holds the password. It is read at each connect, so it may change while the app runs.'),
  MQTT_CA_FILE: readableFile()
    .optional()
    .describe(
      'PEM file of the authorities that the app trusts to sign the certificate of the broker; read at each connect. ' +
        'Unset: those that Node.js trusts.',
    ),
  MQTT_CERT_FILE: readableFile()
    .optional()
    .describe("PEM file of the app's client certificate; read at each connect. Set it together with `MQTT_KEY_FILE`."),
  MQTT_KEY_FILE: readableFile().optional().describe('PEM file of its private key; read at each connect.'),
});

export type BrokerSettings = { [Name in keyof typeof brokerSettings]?: z.output<(typeof brokerSettings)[Name]> };

/** Checks settings that depend on each other; for `superRefine`. */
export function checkBrokerSettings(settings: BrokerSettings & { MQTT_URL: string }, ctx: z.RefinementCtx): void {
  const wrong = (name: keyof BrokerSettings, message: string): void =>
    ctx.addIssue({ code: 'custom', path: [name], message });
  const { MQTT_URL, MQTT_USERNAME, MQTT_PASSWORD_FILE, MQTT_CA_FILE, MQTT_CERT_FILE, MQTT_KEY_FILE } = settings;
  if ((MQTT_CERT_FILE === undefined) !== (MQTT_KEY_FILE === undefined)) {
    const missing = MQTT_CERT_FILE === undefined ? 'MQTT_CERT_FILE' : 'MQTT_KEY_FILE';
    wrong(missing, 'must be set too: certificate and key belong together');
  }
  if (MQTT_PASSWORD_FILE !== undefined && MQTT_USERNAME === undefined) {
    wrong('MQTT_USERNAME', 'must be set if MQTT_PASSWORD_FILE is set');
  }
  const tlsFile = MQTT_CA_FILE ?? MQTT_CERT_FILE ?? MQTT_KEY_FILE;
  if (tlsFile !== undefined && !MQTT_URL.startsWith('mqtts:')) {
    wrong('MQTT_URL', 'must be mqtts://… if a file of a certificate or key is set: without TLS it would not be used');
  }
}

/** If a file cannot be read at a later connect, for example while it is being replaced, its last content is used. */
export function brokerAccess(settings: BrokerSettings & { MQTT_URL: string }, logger: Logger): BrokerAccess {
  let last = readCredentials(settings);
  return {
    url: settings.MQTT_URL,
    credentials: () => {
      try {
        last = readCredentials(settings);
      } catch (error) {
        logger.warn({ err: error }, 'cannot read the credentials for the broker; using the ones that were read last');
      }
      return last;
    },
  };
}

function readCredentials(settings: BrokerSettings): Credentials {
  const { MQTT_USERNAME, MQTT_PASSWORD_FILE, MQTT_CA_FILE, MQTT_CERT_FILE, MQTT_KEY_FILE } = settings;
  return {
    ...(MQTT_USERNAME !== undefined && { username: MQTT_USERNAME }),
    // Editors end a file with a newline, which is not part of the password.
    ...(MQTT_PASSWORD_FILE !== undefined && {
      password: readFileSync(MQTT_PASSWORD_FILE, 'utf8').replace(/\r?\n$/, ''),
    }),
    ...(MQTT_CA_FILE !== undefined && { ca: readFileSync(MQTT_CA_FILE) }),
    ...(MQTT_CERT_FILE !== undefined && { cert: readFileSync(MQTT_CERT_FILE) }),
    ...(MQTT_KEY_FILE !== undefined && { key: readFileSync(MQTT_KEY_FILE) }),
  };
}
