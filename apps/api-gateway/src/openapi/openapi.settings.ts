/** Settings of the OpenAPI document. */
import { parsed, section } from '@app/platform';
import type { z } from 'zod';

export const openApiSettings = section('HTTP', {
  PUBLIC_URL: parsed('/', parsePublicUrl).describe(
    'Where callers reach the gateway, such as `https://connector.example.com`, with the path that a proxy in front of it ' +
      'removes, if any. The OpenAPI document names it in `servers`; the default stands for the host that serves the document.',
  ),
});

export type OpenApiSettings = z.output<z.ZodObject<typeof openApiSettings>>;

/** Without a slash at its end, since paths are added to it. @throws Error */
function parsePublicUrl(text: string): string {
  if (text === '/') return text;
  const url = new URL(URL.canParse(text) ? text : 'about:blank');
  if (!/^https?:$/.test(url.protocol) || url.href !== url.origin + url.pathname) {
    throw new Error('must be "/", or an address such as https://connector.example.com, without a user or a query');
  }
  return url.href.replace(/\/+$/, '');
}
