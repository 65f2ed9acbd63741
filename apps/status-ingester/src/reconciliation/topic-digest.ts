/**
 * Keyed digests of topics, 64 bits long: HalfSipHash-1-3 over the UTF-16 units. It is SipHash-1-3, which hash tables of Rust and
 * Python use, in words of 32 bits, which JavaScript computes without BigInt. The key is random, so that no client can choose an
 * id whose topic has the digest of another one.
 */
import { randomBytes } from 'node:crypto';

/** Rounds after the text, for each half of the digest. */
const LAST_ROUNDS = 3;

export class TopicDigest {
  /** Of the last topic. */
  first = 0;
  second = 0;
  private readonly key0: number;
  private readonly key1: number;

  constructor(key: Buffer = randomBytes(8)) {
    this.key0 = key.readInt32LE(0);
    this.key1 = key.readInt32LE(4);
  }

  /** Does not return the digest, as it would have to allocate for each topic. */
  compute(topic: string): void {
    const { length } = topic;
    const words = length >> 1;
    const rest = (length & 1) === 1 ? topic.charCodeAt(length - 1) : 0;
    const end = ((length * 2) << 24) | rest;
    let v0 = this.key0;
    let v1 = this.key1 ^ 0xee;
    let v2 = this.key0 ^ 0x6c796765;
    let v3 = this.key1 ^ 0x74656462;
    const steps = words + 1 + 2 * LAST_ROUNDS;
    for (let step = 0; step < steps; step++) {
      let word = 0;
      if (step < words) word = topic.charCodeAt(2 * step) | (topic.charCodeAt(2 * step + 1) << 16);
      else if (step === words) word = end;
      else if (step === words + 1) v2 ^= 0xee;
      else if (step === words + 1 + LAST_ROUNDS) {
        this.first = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    this.second = v1 ^ v3;
  }
}
