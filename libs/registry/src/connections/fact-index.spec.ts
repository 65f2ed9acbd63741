import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { FACT_BUCKETS, factTerm } from './fact-index.js';

describe('factTerm', () => {
  it('takes the bucket and the term from the first bytes of a SHA-1, as stored indexes have them', () => {
    fc.assert(
      fc.property(fc.string(), fc.option(fc.string(), { nil: undefined }), (value, account) => {
        const digest = createHash('sha1')
          .update(`fqdn\0${account ?? ''}\0${value}`)
          .digest();
        expect(factTerm('fqdn', value, account)).toEqual({
          bucket: digest.readUInt16BE(0) % FACT_BUCKETS,
          term: digest.toString('base64url', 2, 6),
        });
      }),
    );
  });
});
