/** Settings of the OpenAPI document and its page. */
import { parsed, section } from '@app/platform';
import { z } from 'zod';

export const openApiSettings = section('HTTP', {
  PUBLIC_URL: parsed('/', parsePublicUrl).describe(
    'Where callers reach the gateway, such as `https://connector.example.com`. The OpenAPI document names it in `servers`; the ' +
      'default stands for the host that serves the document.',
  ),
  DOCS: z
    .enum(['management', 'public'])
    .default('management')
    .describe(
      'Who may load `/docs` and `/openapi.json`. `public`: everybody, on `PORT`; the page can try out requests there. ' +
        '`management`: as `/metrics`, by `MANAGEMENT_PORT`.',
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
