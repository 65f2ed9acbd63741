import { REDIS_URL_FORMS, parseRedisUrl } from './redis-url.js';

function wrong(text: string): string {
  try {
    parseRedisUrl(text);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  throw new Error(`"${text}" was taken`);
}

describe('parseRedisUrl', () => {
  it('reads the address of one server', () => {
    expect(parseRedisUrl('redis://127.0.0.1:6380')).toEqual({
      topology: 'single',
      tls: false,
      hosts: [{ host: '127.0.0.1', port: 6380 }],
      db: 0,
    });
    expect(parseRedisUrl('rediss://user:p%40ss%3A%2F@redis.example.com/3')).toEqual({
      topology: 'single',
      tls: true,
      hosts: [{ host: 'redis.example.com', port: 6379 }],
      username: 'user',
      password: 'p@ss:/',
      db: 3,
    });
    expect(parseRedisUrl('redis://:only-a-password@[2001:db8::1]:7000/')).toMatchObject({
      hosts: [{ host: '2001:db8::1', port: 7000 }],
      password: 'only-a-password',
    });
  });

  it('reads the nodes of a Redis Cluster', () => {
    expect(parseRedisUrl('rediss+cluster://u:p@a:7000,b,[::1]:7002')).toEqual({
      topology: 'cluster',
      tls: true,
      hosts: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 6379 },
        { host: '::1', port: 7002 },
      ],
      username: 'u',
      password: 'p',
      db: 0,
    });
  });

  it('reads Sentinels, which may have a password of their own', () => {
    expect(parseRedisUrl('redis+sentinel://:p@a,b:7001/main/2?sentinelUsername=s&sentinelPassword=q%26')).toEqual({
      topology: 'sentinel',
      tls: false,
      hosts: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 7001 },
      ],
      password: 'p',
      db: 2,
      masterName: 'main',
      sentinelUsername: 's',
      sentinelPassword: 'q&',
    });
  });

  it.each([
    ['', REDIS_URL_FORMS],
    ['127.0.0.1:6379', REDIS_URL_FORMS],
    ['http://127.0.0.1', REDIS_URL_FORMS],
    ['redis+other://a', REDIS_URL_FORMS],
    ['redis://', 'has a part that is no host:port: ""'],
    ['redis://a:70000', 'has a part that is no host:port: "a:70000"'],
    ['redis://a:b', 'has a part that is no host:port: "a:b"'],
    ['redis+cluster://a,,b', 'has a part that is no host:port: ""'],
    ['redis://a,b', 'names several hosts: write redis+cluster:// or redis+sentinel:// in front of them'],
    ['redis://a/x', 'must end with the number of a database, not with "x"'],
    ['redis://a/1/2', 'has too many parts after the hosts'],
    ['redis://a?db=1', 'takes parameters after "?" only with redis+sentinel://'],
    ['redis+cluster://a/1', 'must not name a database: a cluster has only 0'],
    ['redis+sentinel://a', 'must name the master the Sentinels watch'],
    ['redis+sentinel://a/main?sentinelPasswort=x', 'has an unknown parameter "sentinelPasswort"'],
    ['redis+sentinel://a/main/0/1', 'has too many parts after the hosts'],
    ['redis://:100%@a', 'has a "%" that encodes nothing'],
  ])('refuses %j and says why', (text, why) => {
    expect(wrong(text)).toContain(why);
  });

  it('never repeats a password in its message', () => {
    for (const text of ['redis://u:sec#ret@a', 'redis://u:sec/ret@a', 'http://u:secret@a', 'redis://u:secret@a:x']) {
      expect(wrong(text)).not.toMatch(/sec/);
    }
  });
});
