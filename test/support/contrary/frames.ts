/** Splits a stream of bytes into MQTT packets without parsing them. */
export class Frames {
  private rest: Buffer = Buffer.alloc(0);

  /** @returns the packets that are complete now */
  add(data: Buffer): Buffer[] {
    const bytes = this.rest.length === 0 ? data : Buffer.concat([this.rest, data]);
    const frames: Buffer[] = [];
    let at = 0;
    for (;;) {
      const end = endOfFrame(bytes, at);
      if (end === undefined || end > bytes.length) break;
      frames.push(bytes.subarray(at, end));
      at = end;
    }
    this.rest = bytes.subarray(at);
    return frames;
  }
}

/** Reads the remaining length, of which each byte holds seven bits. @returns undefined if it is not complete yet */
function endOfFrame(bytes: Buffer, from: number): number | undefined {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[from + 1 + i];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** i;
    if ((byte & 0x80) === 0) return from + 2 + i + length;
  }
  throw new Error('the remaining length of an MQTT packet has more than four bytes');
}
