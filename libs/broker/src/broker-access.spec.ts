import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '@app/platform';
import { z } from 'zod';
import { quiet } from '../../../test/support/servers.js';
import { brokerAccess, brokerSettings, checkBrokerSettings } from './broker-access.js';

const settings = z.object(brokerSettings).superRefine(checkBrokerSettings);
const MQTT_URL = 'mqtts://broker:8883';
let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cloud-connector-access-'));
  file = join(dir, 'secret');
  writeFileSync(file, 'first\n');
});

afterEach(() => rmSync(dir, { recursive: true }));

describe('brokerAccess', () => {
  it.each([
    [{ MQTT_CERT_FILE: 'F' }, 'MQTT_KEY_FILE: must be set too'],
    [{ MQTT_KEY_FILE: 'F' }, 'MQTT_CERT_FILE: must be set too'],
    [{ MQTT_PASSWORD_FILE: 'F' }, 'MQTT_USERNAME: must be set if MQTT_PASSWORD_FILE is set'],
    [{ MQTT_CA_FILE: 'F', MQTT_URL: 'mqtt://broker' }, 'MQTT_URL: must be mqtts://'],
    [{ MQTT_CA_FILE: '/no/such/file' }, 'MQTT_CA_FILE: must name a file that can be read'],
  ])('refuses the settings %j', (set: Record<string, string>, message) => {
    const env = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, value === 'F' ? file : value]));
    expect(() => loadSettings(settings, { MQTT_URL, ...env })).toThrow(message);
  });

  it('has no credentials if none are set', () => {
    expect(brokerAccess(loadSettings(settings, { MQTT_URL }), quiet).credentials?.()).toEqual({});
  });

  it('reads the files at each connect, and uses their last content while they cannot be read', () => {
    const env = { MQTT_URL, MQTT_USERNAME: 'ingester', MQTT_PASSWORD_FILE: file, MQTT_CA_FILE: file };
    const access = brokerAccess(loadSettings(settings, env), quiet);
    expect(access.credentials?.()).toEqual({ username: 'ingester', password: 'first', ca: Buffer.from('first\n') });
    writeFileSync(file, 'second');
    expect(access.credentials?.()).toMatchObject({ password: 'second' });
    rmSync(file);
    expect(access.credentials?.()).toMatchObject({ password: 'second', ca: Buffer.from('second') });
  });
});
