/** The address of the gateway and the credentials: of the options, the environment or a profile. */
import { addressOf } from '../requester.js';
import { readText, type Args, type Environment } from './args.js';
import { UsageError } from './failures.js';
import { findProfile } from './profiles.js';

export interface Access {
  baseUrl: string;
  /** A file with the token; undefined if the token comes from the environment, or there is none. */
  tokenFile: string | undefined;
  token: (() => string) | undefined;
}

/**
 * Options win over the environment, and that over the profile. A profile that an option names wins over the environment, as
 * any option does. There is no option for a token, because other users of a machine can see command lines.
 */
export function access(args: Args, env: Environment): Access {
  const [url, file] = [args.text('url'), args.text('token-file')];
  const named = args.text('profile');
  const envUrl = named === undefined ? nonEmpty(env['CLOUD_CONNECTOR_URL']) : undefined;
  const address = url ?? envUrl;
  // An address without a profile needs no profile, so a broken file of profiles does no harm then.
  const profile =
    named === undefined && address !== undefined
      ? undefined
      : findProfile(named ?? env['CLOUD_CONNECTOR_PROFILE'], env);
  const baseUrl = address ?? profile?.url ?? 'http://127.0.0.1:3000';
  checkUrl(baseUrl);
  if (file !== undefined) return withFile(baseUrl, file);
  if (named === undefined) {
    const token = nonEmpty(env['CLOUD_CONNECTOR_TOKEN']);
    if (token !== undefined) return { baseUrl, tokenFile: undefined, token: () => token.trim() };
    const envFile = nonEmpty(env['CLOUD_CONNECTOR_TOKEN_FILE']);
    if (envFile !== undefined) return withFile(baseUrl, envFile);
  }
  // The key of a profile goes to the address of the profile only.
  const own = profile !== undefined && baseUrl === profile.url ? profile.tokenFile : undefined;
  return own === undefined ? { baseUrl, tokenFile: undefined, token: undefined } : withFile(baseUrl, own);
}

/** The file is read again for each call: a token in a file is replaced before it expires. */
function withFile(baseUrl: string, tokenFile: string): Access {
  return { baseUrl, tokenFile, token: () => readText(tokenFile, 'the token').trim() };
}

function checkUrl(text: string): void {
  try {
    addressOf(text);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
