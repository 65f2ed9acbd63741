/** The Redis of a spec file. */
import { connectRedis, type Redis } from '@app/platform';
import { quiet, startRedis, type Server } from './servers.js';

/** Starts an empty Redis for all tests of the file; `begin` is given a connection to it, and the server. */
export function withRedis(begin: (redis: Redis, server: Server) => void): void {
  let server: Server;
  let redis: Redis;

  beforeAll(async () => {
    server = await startRedis();
    redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
    begin(redis, server);
  });

  afterAll(async () => {
    await redis.quit();
    await server.stop();
  });
}
