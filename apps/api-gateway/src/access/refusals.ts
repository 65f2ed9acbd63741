/** Problems of credentials, with the header `WWW-Authenticate` that RFC 6750 requires. */
import { Problem } from '../http/problem.js';

const REALM = 'Bearer realm="cloud-connector"';

export function credentialsMissing(): Problem {
  return new Problem('unauthenticated', 'send an API key or a token as "Authorization: Bearer …"', {
    challenge: REALM,
  });
}

/** `why` must not contain the credentials. */
export function credentialsRefused(why: string): Problem {
  return new Problem('unauthenticated', why, {
    challenge: `${REALM}, error="invalid_token", error_description="${why.replaceAll(/[^\x20-\x7e]|["\\]/g, "'")}"`,
  });
}

export function scopeMissing(scope: string): Problem {
  return new Problem('forbidden', `these credentials do not have the scope ${scope}`, {
    challenge: `${REALM}, error="insufficient_scope", scope="${scope}"`,
  });
}
