/** Checks that a body is JSON in UTF-8 without compression. */
import { Problem } from './problem.js';

const JSON_TYPE = /^\s*application\/json\s*(;|$)/i;
const CHARSET = /;\s*charset\s*=\s*("?)([^";\s]*)\1/i;

/** @throws Problem */
export function assertJson(headers: Record<string, string | string[] | undefined>): void {
  const type = headers['content-type'];
  if (typeof type !== 'string' || !JSON_TYPE.test(type)) {
    throw new Problem('unsupported-media-type', 'send the body as application/json');
  }
  const charset = CHARSET.exec(type)?.[2]?.toLowerCase();
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') {
    throw new Problem('unsupported-media-type', 'JSON must be sent in UTF-8; leave the charset out');
  }
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && !/^\s*(identity)?\s*$/i.test(String(encoding))) {
    throw new Problem('unsupported-media-type', 'send the body without compression', { acceptEncoding: 'identity' });
  }
}
