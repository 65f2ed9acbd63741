/**
 * API keys and the file of their digests. A key is 32 random bytes, so its SHA-256 cannot be reversed by guessing, and checking
 * a key costs microseconds. Who can read the file cannot call the API; who can write it can.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Caller } from './caller.js';
import { SCOPES } from './scopes.js';

export const KeyEntry = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, ".", "_" or "-"'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of the key, 64 hex digits in lower case'),
  scopes: z.array(z.enum(SCOPES)).min(1),
  account: z.string().min(1).max(256).optional(),
});
export type KeyEntry = z.infer<typeof KeyEntry>;

/** Unknown members are refused: a key with a misspelt `account` would reach every account. */
export const KeyFile = z.strictObject({ keys: z.array(KeyEntry).max(10_000) }).superRefine(({ keys }, ctx) => {
  for (const member of ['id', 'sha256'] as const) {
    const seen = new Set<string>();
    for (const [i, key] of keys.entries()) {
      if (seen.has(key[member])) {
        ctx.addIssue({
          code: 'custom',
          path: ['keys', i, member],
          message: 'occurs twice in the file: remove one of the entries',
        });
      }
      seen.add(key[member]);
    }
  }
});

interface KnownKey {
  digest: Buffer;
  caller: Caller;
  /** The entry in the file, as JSON. */
  text: string;
}

export class ApiKeys {
  private readonly byDigest = new Map<string, KnownKey>();
  private readonly callers = new Set<Caller>();

  /** `before`: the keys that these replace. The caller of an entry that has not changed stays the same object. */
  constructor(entries: readonly KeyEntry[], before?: ApiKeys) {
    for (const entry of entries) {
      const text = JSON.stringify(entry);
      const known = before?.byDigest.get(entry.sha256);
      const caller = known?.text === text ? known.caller : toCaller(entry);
      this.byDigest.set(entry.sha256, { digest: Buffer.from(entry.sha256, 'hex'), caller, text });
      this.callers.add(caller);
    }
  }

  /** Reads the text of a key file. @throws Error that names the fault and repeats nothing of the file */
  static parse(text: string, before?: ApiKeys): ApiKeys {
    return new ApiKeys(parseKeyFile(text).keys, before);
  }

  isCurrent(caller: Caller): boolean {
    return this.callers.has(caller);
  }

  get size(): number {
    return this.byDigest.size;
  }

  /** The map lookup leaks timing about the SHA-256 only; the final comparison is constant-time. */
  find(presented: string): Caller | undefined {
    const digest = createHash('sha256').update(presented).digest();
    const known = this.byDigest.get(digest.toString('hex'));
    return known !== undefined && timingSafeEqual(known.digest, digest) ? known.caller : undefined;
  }
}

function toCaller({ id, scopes, account }: KeyEntry): Caller {
  return { id: `key:${id}`, scopes: new Set(scopes), ...(account !== undefined && { account }) };
}

/** @throws Error that names the fault and repeats nothing of the file */
export function parseKeyFile(text: string): z.infer<typeof KeyFile> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('is not JSON');
  }
  const outcome = KeyFile.safeParse(value);
  if (outcome.success) return outcome.data;
  throw new Error(outcome.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}

/** Makes a key, and its entry for the file. The key itself is not stored. */
export function mintKey(about: Omit<KeyEntry, 'sha256'>): { key: string; entry: KeyEntry } {
  const key = `cck_${randomBytes(32).toString('base64url')}`;
  const { id, ...rest } = about;
  return { key, entry: { id, sha256: createHash('sha256').update(key).digest('hex'), ...rest } };
}
