import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@app/platform';
import { freePort } from '../../../../test/support/servers.js';
import { EndpointAccounts } from './account-endpoint.js';

const TOKEN = 'a-token-of-the-spec';
const OPTIONS = { tokenFile: undefined, timeoutMs: 30_000, cacheMs: 1000 };

let lines: string[];
const logger = createLogger('spec', 'warn', { write: (line) => lines.push(line) });

beforeEach(() => (lines = []));

it('EndpointAccounts warns at most once a second, however many questions fail', async () => {
  const accounts = new EndpointAccounts({ ...OPTIONS, url: `http://127.0.0.1:${await freePort()}` }, logger);
  const questions = Array.from({ length: 300 }, (_, i) => accounts.resolve(`client-${i}`));
  for (const found of await Promise.all(questions)) expect(found).toEqual({ kind: 'unavailable' });
  await accounts.close();
  expect(lines[0]).toContain('could not ask ACCOUNTS_URL');
  expect(lines.length).toBeLessThan(100);
});

it('EndpointAccounts never logs the token, not even one that is no valid header', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-spec-'));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, `${TOKEN}\nsecond line`);
  const url = `http://127.0.0.1:${await freePort()}`;
  const accounts = new EndpointAccounts({ ...OPTIONS, url, tokenFile }, logger);
  expect(await accounts.resolve('client')).toEqual({ kind: 'unavailable' });
  await accounts.close();
  rmSync(dir, { recursive: true });
  expect(lines.join('')).toContain('could not ask ACCOUNTS_URL');
  expect(lines.join('')).not.toContain(TOKEN);
});
