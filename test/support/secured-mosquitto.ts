/** The secured Mosquitto of `examples/mosquitto/secure`, with its configuration except for ports and folders. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { ROOT, findProgram } from '../../scripts/setup.mjs';
import { freePort, launch, ping, type Part } from '../../scripts/stack.mjs';

const EXAMPLE = join(ROOT, 'examples/mosquitto/secure');

export type Listener = 'certificate' | 'password' | 'service';

export class SecuredMosquitto {
  private readonly clients = new Set<MqttClient>();

  private constructor(
    private part: Part,
    private readonly dir: string,
    private readonly home: string,
    private readonly ports: Record<Listener, number>,
    private readonly passwords: ReadonlyMap<string, string>,
  ) {}

  static async start(dir: string, clientIds: readonly string[]): Promise<SecuredMosquitto> {
    const home = join(dir, 'secured-mosquitto');
    mkdirSync(join(home, 'data'), { recursive: true });
    cpSync(EXAMPLE, home, { recursive: true });
    const ports = { certificate: await freePort(), password: await freePort(), service: await freePort() };
    const config = readFileSync(join(home, 'mosquitto.conf'), 'utf8')
      .replaceAll('/mosquitto/config/', `${home}/`)
      .replaceAll('/mosquitto/data/', `${home}/data/`)
      .replace('listener 8883', `listener ${ports.certificate} 127.0.0.1`)
      .replace('listener 8884', `listener ${ports.password} 127.0.0.1`)
      .replace('listener 8885', `listener ${ports.service} 127.0.0.1`);
    writeFileSync(join(home, 'mosquitto.conf'), process.getuid?.() === 0 ? `user root\n${config}` : config);
    const credentials = makeCredentials(home, clientIds);
    const broker = new SecuredMosquitto(run(dir, home), dir, home, ports, credentials);
    await broker.part.until(() => ping(ports.service));
    return broker;
  }

  stop(): Promise<unknown> {
    for (const client of this.clients) client.end(true);
    return this.part.stop();
  }

  /** Stops the broker, and starts it with the data that it has stored. */
  async restart(): Promise<void> {
    await this.part.stop();
    this.part = run(this.dir, this.home);
    await this.part.until(() => ping(this.ports.service));
  }

  file(name: string): string {
    return join(this.home, 'certificates', name);
  }

  url(listener: Listener): string {
    return `mqtts://127.0.0.1:${this.ports[listener]}`;
  }

  /** The address for a client, with its user and password. */
  urlOf(id: string): string {
    return `mqtts://${id}:${this.passwords.get(id) ?? ''}@127.0.0.1:${this.ports.password}`;
  }

  /** The settings with which an app connects as its own user. */
  settingsOf(app: 'ingester' | 'dispatcher'): Record<string, string> {
    return {
      MQTT_URL: this.url('service'),
      MQTT_CA_FILE: this.file('ca.crt'),
      MQTT_USERNAME: app,
      MQTT_PASSWORD_FILE: this.file(`${app}.password`),
      MQTT_CERT_FILE: this.file(`${app}.crt`),
      MQTT_KEY_FILE: this.file(`${app}.key`),
    };
  }

  /** Connects like a client; rejects if the broker refuses the connection. */
  async connect(listener: Listener, as: string, options: IClientOptions = {}): Promise<MqttClient> {
    const name = listener === 'service' ? as : `client-${as}`;
    const withCertificate = listener !== 'password' && {
      cert: readFileSync(this.file(`${name}.crt`)),
      key: readFileSync(this.file(`${name}.key`)),
    };
    const password = this.passwords.get(as);
    const withPassword = listener !== 'certificate' && { username: as, ...(password !== undefined && { password }) };
    const client = await connectAsync(
      this.url(listener),
      {
        protocolVersion: 5,
        reconnectPeriod: 0,
        ca: readFileSync(this.file('ca.crt')),
        ...withCertificate,
        ...withPassword,
        ...options,
      },
      false,
    );
    this.clients.add(client);
    return client;
  }
}

function run(dir: string, home: string): Part {
  return launch('mosquitto', findProgram('mosquitto') ?? 'mosquitto', ['-c', join(home, 'mosquitto.conf')], { dir });
}

function makeCredentials(home: string, clientIds: readonly string[]): Map<string, string> {
  execFileSync(join(home, 'certificates.sh'), [join(home, 'certificates'), ...clientIds]);
  const passwords = new Map<string, string>();
  const add = (file: string, name: string): void => {
    const password = randomBytes(12).toString('hex');
    passwords.set(name, password);
    execFileSync(findProgram('mosquitto_passwd') ?? 'mosquitto_passwd', ['-b', join(home, file), name, password]);
  };
  for (const file of ['passwords-clients', 'passwords-services']) writeFileSync(join(home, file), '');
  for (const id of clientIds) add('passwords-clients', id);
  for (const app of ['ingester', 'dispatcher']) {
    add('passwords-services', app);
    writeFileSync(join(home, 'certificates', `${app}.password`), `${passwords.get(app) ?? ''}\n`);
  }
  return passwords;
}
