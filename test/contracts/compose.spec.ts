/**
 * The Dockerfile and the compose file, read and not run: what they name exists, agrees with the apps and the manifests,
 * and nothing listens beyond loopback.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';

import { parse } from 'yaml';

import { APPS, seconds } from './settings.js';

const ROOT = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

interface Stage {
  readonly from: string;
  readonly instructions: readonly { readonly name: string; readonly argument: string }[];
}

function stages(dockerfile: string): Map<string, Stage> {
  const found = new Map<string, Stage>();
  let instructions: { name: string; argument: string }[] = [];
  for (const line of dockerfile
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, '')
    .split('\n')) {
    const [, name, argument = ''] = /^\s*([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (name === undefined) {
      if (line.trim() !== '') throw new Error(`not an instruction: ${line}`);
    } else if (name === 'FROM') {
      const [from = '', as, stage = ''] = argument.split(' ');
      if (as !== 'AS' || found.has(stage)) throw new Error(`a stage needs a name of its own: ${line}`);
      instructions = [];
      found.set(stage, { from, instructions });
    } else {
      instructions.push({ name, argument });
    }
  }
  return found;
}

const image = stages(read('Dockerfile'));

/** The arguments of an instruction in a stage and the stages it builds on, oldest first. */
function inherited(stage: string, instruction: string): string[] {
  const own = image.get(stage);
  if (!own) return [];
  const here = own.instructions.filter(({ name }) => name === instruction).map(({ argument }) => argument);
  return [...inherited(own.from, instruction), ...here];
}

/** Runs a health check against an app that answers `status` on `path` and 404 elsewhere; 0 means healthy. */
async function exitCode([program = '', ...args]: readonly string[], path: string, status: number): Promise<unknown> {
  const server = createServer((request, response) => {
    response.writeHead(request.url === path ? status : 404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const check = spawn(program, args, { env: { PATH: process.env.PATH, PORT: String(port) } });
  const [code] = (await once(check, 'exit')) as unknown[];
  server.close();
  return code;
}

describe('Dockerfile', () => {
  const all = [...image].flatMap(([stage, { instructions }]) => instructions.map((each) => ({ stage, ...each })));
  const copies = all
    .filter(({ name }) => name === 'COPY')
    .map(({ stage, argument }) => {
      const words = argument.split(/\s+/);
      const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
      return { stage, from, sources: words.filter((word) => !word.startsWith('--')).slice(0, -1) };
    });

  it('starts every stage from one Node 24 image or an earlier stage', () => {
    const earlier: string[] = ['node:24-bookworm-slim'];
    for (const [stage, { from }] of image) {
      expect(earlier).toContain(from);
      earlier.push(stage);
    }
  });

  it('copies only what exists and what .dockerignore lets in', () => {
    const allowed = read('.dockerignore').split('\n');
    expect(allowed.filter((line) => !line.startsWith('#'))[0]).toBe('*');
    for (const { from, sources } of copies) {
      if (from === undefined) {
        for (const source of sources) {
          expect(allowed.some((line) => `${source}/`.startsWith(`${line.slice(1)}/`))).toBe(true);
          expect(existsSync(join(ROOT, source))).toBe(true);
        }
      } else {
        expect([...image.keys()]).toContain(from);
        for (const source of sources) expect(source).toMatch(/^\/app\/(dist|node_modules)/);
      }
    }
  });

  it('installs what the lock says and runs no install script', () => {
    const installs = all.filter(({ argument }) => argument.startsWith('npm install'));
    expect(installs.map(({ stage }) => stage)).toEqual(['build', 'production']);
    for (const { argument } of installs) expect(argument).toContain('--ignore-scripts');
    // Only the console is built besides the apps; tests and linters stay out.
    expect(installs.map(({ argument }) => argument.match(/--workspace\S*( \S+)?/)?.[0])).toEqual([
      '--workspace apps/console',
      '--workspaces=false --ignore-scripts',
    ]);
    expect(inherited('build', 'COPY')[0]).toBe('package.json package-lock.json .npmrc ./');
    expect(inherited('production', 'COPY')).toEqual(['package.json package-lock.json .npmrc ./']);
  });

  it('leaves development dependencies and build tools behind', () => {
    expect(inherited('production', 'RUN')).toEqual([expect.stringMatching(/^npm install --omit=dev --omit=optional /)]);
    for (const { stage, from, sources } of copies) {
      if (sources.includes('/app/node_modules')) expect([stage, from]).toEqual(['runtime', 'production']);
    }
    expect(inherited('runtime', 'RUN')).toEqual([expect.stringMatching(/^rm -rf .*\/usr\/local\/lib\/node_modules /)]);
  });

  it('gives the gateway the console', () => {
    expect(inherited('api-gateway', 'COPY')).toContain('--from=build /app/dist/console dist/console');
    expect(inherited('build', 'RUN').at(-1)).toBe('npm run build:apps && npm run build:console');
  });

  describe.each(Object.entries(APPS))('the target %s', (app, { port }) => {
    it('starts the built app on its port, reachable from outside the container', () => {
      const main = `dist/apps/${app}/src/main.js`;
      const { projects } = parse(read('nest-cli.json')) as { projects: Record<string, { entryFile: string }> };
      expect(projects[app]?.entryFile).toBe('main');
      const [command = ''] = inherited(app, 'CMD');
      const [program, ...words] = parse(command) as string[];
      expect([program, words.at(-1)]).toEqual(['node', main]);
      for (const option of words.slice(0, -1)) expect(option).toMatch(/^--/);
      expect(inherited(app, 'COPY')).toContain(`--from=build /app/dist/apps/${app} dist/apps/${app}`);
      expect(inherited(app, 'COPY')).toContain('package.json ./');
      expect(inherited(app, 'ENV')).toEqual(['NODE_ENV=production HOST=0.0.0.0', 'MALLOC_ARENA_MAX=2', `PORT=${port}`]);
      expect(inherited(app, 'EXPOSE')).toEqual([String(port)]);
    });

    it('is a numeric user without root, stopped by SIGTERM, and healthy while it lives', async () => {
      expect(inherited(app, 'USER')).toEqual(['1000:1000']);
      expect(inherited(app, 'STOPSIGNAL')).toEqual(['SIGTERM']);
      const [check = ''] = inherited(app, 'HEALTHCHECK');
      const command = parse(check.replace(/^.* CMD /, '')) as string[];
      expect(await exitCode(command, '/health/live', 200)).toBe(0);
      expect(await exitCode(command, '/health/live', 503)).toBe(1);
    });
  });
});

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly target: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly (string | { readonly type: string; readonly source: string; readonly target: string })[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck: { readonly test: readonly string[] };
  readonly restart: string;
  readonly stop_grace_period: string;
}

const compose = parse(read('docker-compose.yml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};

describe('docker-compose.yml', () => {
  it('runs the three apps, Redis and a broker', () => {
    expect(Object.keys(compose.services).sort()).toEqual([...Object.keys(APPS), 'mosquitto', 'redis'].sort());
  });

  it.each(Object.entries(compose.services))(
    '%s restarts, is checked, and is published on loopback only',
    (_, service) => {
      expect(service.restart).toBe('unless-stopped');
      expect(service.healthcheck.test[0]).toMatch(/^CMD/);
      for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
      for (const volume of service.volumes ?? []) {
        // A bind of this form ends the start where its source is missing, which need not be in a clone.
        if (typeof volume !== 'string') {
          expect(volume).toMatchObject({ type: 'bind', read_only: true, bind: { create_host_path: false } });
          continue;
        }
        const [source = ''] = volume.split(':');
        if (source.startsWith('./')) expect(existsSync(join(ROOT, source))).toBe(true);
        else expect(Object.keys(compose.volumes)).toContain(source);
      }
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
        expect(compose.services).toHaveProperty(other);
        expect(condition).toBe('service_healthy');
      }
    },
  );

  describe.each(Object.entries(APPS))('the service %s', (app, { port, settings }) => {
    const service = compose.services[app];
    const environment = service?.environment ?? {};

    it('is built from its target, and has no name under which a registry could answer', () => {
      expect(service?.build).toEqual({ context: '.', target: app });
      expect([...image.keys()]).toContain(app);
      expect(service?.image).toBeUndefined();
      const management = environment['MANAGEMENT_PORT'];
      const ports = [String(port), ...(management === undefined ? [] : [management])];
      expect(service?.ports).toEqual(ports.map((one) => `127.0.0.1:${one}:${one}`));
    });

    it('gets no setting that its app does not read, and waits for the servers they name', () => {
      expect(settings).toEqual(expect.arrayContaining(Object.keys(environment)));
      const servers = ['REDIS_URL', 'MQTT_URL'].filter((name) => settings.includes(name));
      const hosts = servers.map((name) => new URL(environment[name] ?? '').hostname);
      expect(Object.keys(service?.depends_on ?? {})).toEqual(hosts);
    });

    it('finds the API keys where it looks for them', () => {
      const path = environment.API_KEYS_FILE;
      expect(path !== undefined).toBe(settings.includes('API_KEYS_FILE'));
      if (path === undefined) return;
      expect(service?.volumes).toContainEqual(expect.objectContaining({ source: './secrets', target: dirname(path) }));
    });

    it('runs without privileges on a read-only file system', () => {
      expect(service).toMatchObject({
        read_only: true,
        tmpfs: ['/tmp'],
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
    });

    it('is healthy when ready, and gets more time to end than it takes', async () => {
      const [kind, ...words] = service?.healthcheck.test ?? [];
      expect(kind).toBe('CMD');
      // Compose replaces its own variables, and reads two dollar signs as one.
      expect(words.join(' ')).not.toMatch(/(?<!\$)\$(?!\$)/);
      const command = words.map((word) => word.replaceAll('$$', () => '$'));
      expect(await exitCode(command, '/health/ready', 200)).toBe(0);
      expect(await exitCode(command, '/health/ready', 503)).toBe(1);
      expect(seconds(service?.stop_grace_period)).toBeGreaterThan(seconds(environment.SHUTDOWN_GRACE));
    });
  });

  it('gives Redis a file to recover from, and never lets it evict', () => {
    const redis = compose.services.redis;
    expect(redis?.image).toMatch(/^redis:7/);
    const command = redis?.command ?? [];
    const option = (name: string): string | undefined => command[command.indexOf(name) + 1];
    expect(command).toEqual(expect.arrayContaining(['--appendonly', '--appendfsync', '--maxmemory-policy']));
    expect(option('--appendonly')).toBe('yes');
    expect(option('--appendfsync')).toBe('everysec');
    expect(option('--maxmemory-policy')).toBe('noeviction');
    expect(redis?.ports).toBeUndefined();
    expect(redis?.volumes).toEqual(['redis-data:/data']);
  });

  it('gives Mosquitto a configuration that keeps every message', () => {
    const mosquitto = compose.services.mosquitto;
    expect(mosquitto?.image).toMatch(/^eclipse-mosquitto:2/);
    const path = 'examples/mosquitto/mosquitto.conf';
    expect(mosquitto?.volumes).toEqual([
      `./${path}:/mosquitto/config/mosquitto.conf:ro`,
      'mosquitto-data:/mosquitto/data',
    ]);
    const lines = read(path)
      .split('\n')
      .filter((line) => /^\w/.test(line));
    const options = Object.fromEntries(lines.map((line) => line.split(' ', 2) as [string, string]));
    expect(options).toEqual({
      listener: '1883',
      allow_anonymous: 'true',
      persistence: 'true',
      persistence_location: '/mosquitto/data/',
      autosave_interval: '60',
      max_queued_messages: '0',
      max_inflight_messages: '1000',
      set_tcp_nodelay: 'true',
      log_dest: 'stdout',
    });
  });
});
