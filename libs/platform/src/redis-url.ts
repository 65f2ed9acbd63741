/** Parses `REDIS_URL`: one server, a Redis Cluster, or a master that Sentinels know by name. */

export interface RedisHost {
  host: string;
  port: number;
}

export interface RedisAddress {
  topology: 'single' | 'cluster' | 'sentinel';
  tls: boolean;
  /** The server, nodes of the cluster, or Sentinels. Some nodes or Sentinels are enough: they know the others. */
  hosts: RedisHost[];
  username?: string;
  password?: string;
  /** Number of the database; a cluster has only 0. */
  db: number;
  /** Name of the master at the Sentinels. */
  masterName?: string;
  /** Credentials for the Sentinels themselves, if they require them. */
  sentinelUsername?: string;
  sentinelPassword?: string;
}

export const REDIS_URL_FORMS =
  'redis://host:port, redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/name';

const FORM = /^(rediss?)(?:\+(cluster|sentinel))?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^@?#]*))?(?:\?([^@#]*))?$/;
const HOST = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/;

/** @throws Error that says what is wrong, without text that may be a password */
export function parseRedisUrl(text: string): RedisAddress {
  const [, scheme, kind = 'single', userInfo = '', hosts, path = '', query = ''] = FORM.exec(text) ?? [];
  if (hosts === undefined) {
    throw new Error(`must be ${REDIS_URL_FORMS}; with rediss for TLS, and special characters of a password as %XX`);
  }
  const topology = kind as RedisAddress['topology'];
  if (topology === 'single' && hosts.includes(',')) {
    throw new Error('names several hosts: write redis+cluster:// or redis+sentinel:// in front of them');
  }
  const colon = userInfo.indexOf(':');
  const username = decoded(colon < 0 ? userInfo : userInfo.slice(0, colon));
  const password = decoded(colon < 0 ? '' : userInfo.slice(colon + 1));
  const [first = '', second, ...more] = path.split('/').map(decoded);
  if (more.length > 0) throw new Error(`has too many parts after the hosts: it must be ${REDIS_URL_FORMS}`);
  const sentinel = topology === 'sentinel' ? parseSentinelPart(first, query) : refuseSentinelPart(second, query);
  return {
    topology,
    tls: scheme === 'rediss',
    hosts: hosts.split(',').map((host) => parseHost(host, topology === 'sentinel' ? 26_379 : 6379)),
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    db: database(topology === 'sentinel' ? (second ?? '') : first, topology),
    ...sentinel,
  };
}

function parseSentinelPart(masterName: string, query: string): Partial<RedisAddress> {
  if (masterName === '') {
    throw new Error('must name the master the Sentinels watch: redis+sentinel://host:port,host:port/name');
  }
  const part: Partial<RedisAddress> = { masterName };
  for (const [name, value] of new URLSearchParams(query)) {
    if (name !== 'sentinelUsername' && name !== 'sentinelPassword') {
      throw new Error(`has an unknown parameter "${name}": known are sentinelUsername and sentinelPassword`);
    }
    part[name] = value;
  }
  return part;
}

function refuseSentinelPart(second: string | undefined, query: string): Partial<RedisAddress> {
  if (second !== undefined) throw new Error(`has too many parts after the hosts: it must be ${REDIS_URL_FORMS}`);
  if (query !== '') throw new Error('takes parameters after "?" only with redis+sentinel://');
  return {};
}

function parseHost(text: string, port: number): RedisHost {
  const [, v6, name, portText] = HOST.exec(text) ?? [];
  const host = v6 ?? name;
  if (host === undefined || Number(portText) > 65_535) throw new Error(`has a part that is no host:port: "${text}"`);
  return { host, port: portText === undefined ? port : Number(portText) };
}

function database(text: string, topology: RedisAddress['topology']): number {
  if (text === '') return 0;
  if (!/^\d{1,5}$/.test(text)) throw new Error(`must end with the number of a database, not with "${text}"`);
  if (topology === 'cluster' && Number(text) !== 0) throw new Error('must not name a database: a cluster has only 0');
  return Number(text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('has a "%" that encodes nothing: write it as %25');
  }
}
