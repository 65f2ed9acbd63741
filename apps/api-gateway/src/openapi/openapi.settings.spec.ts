import { z } from 'zod';
import { openApiSettings } from './openapi.settings.js';

const schema = z.object(openApiSettings);

it.each([
  [{}, '/'],
  [{ PUBLIC_URL: '/' }, '/'],
  [{ PUBLIC_URL: 'https://connector.example.com' }, 'https://connector.example.com'],
  [{ PUBLIC_URL: 'https://connector.example.com/' }, 'https://connector.example.com'],
  [{ PUBLIC_URL: 'http://10.0.0.7:3000/cloud/' }, 'http://10.0.0.7:3000/cloud'],
])('reads the address of %j as %s, without a slash at its end', (env, url) => {
  expect(schema.parse(env).PUBLIC_URL).toBe(url);
});

it.each([
  'connector.example.com',
  'ftp://example.com',
  'https://example.com/?a=1',
  'https://example.com/#a',
  'https://user:password@example.com',
])('refuses the address %s, and names the setting', (PUBLIC_URL) => {
  expect(schema.safeParse({ PUBLIC_URL }).error?.issues.map(({ path }) => path)).toEqual([['PUBLIC_URL']]);
});
