/**
 * Walks through valid JSON text, to find the text of a value as it was written: `JSON.parse` would change some numbers and the
 * order of some members.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const SPACE = 0x20;
/** Characters of a string that are compared one by one; after them `indexOf` is used, which is faster on long strings. */
const SHORT = 64;

export class JsonWalk {
  private at = 0;

  /** `json`: valid JSON in UTF-8. The walk begins at its value. */
  constructor(private readonly json: Buffer) {
    this.skipBlanks();
  }

  /** Calls `each` with the name of every member of the object at this position; `each` must walk over the value. */
  object(each: (name: string) => void): void {
    this.enter();
    while (this.json[this.at] !== CLOSE_BRACE) {
      const from = this.at;
      this.at = this.endOfString(from);
      const raw = this.json.toString('utf8', from + 1, this.at - 1);
      this.skipBlanks();
      // Skip the colon.
      this.at++;
      this.skipBlanks();
      each(raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw);
      this.next();
    }
    this.at++;
  }

  /** Calls `each` for every item of the array at this position; `each` must walk over the item. */
  array(each: (index: number) => void): void {
    this.enter();
    for (let index = 0; this.json[this.at] !== CLOSE_BRACKET; index++) {
      each(index);
      this.next();
    }
    this.at++;
  }

  /** Walks over the value at this position. @returns its text, and the depth of its arrays and objects */
  value(): { text: string; depth: number } {
    const from = this.at;
    const depth = this.skip();
    return { text: this.json.toString('utf8', from, this.at), depth };
  }

  /** Walks over the value at this position. @returns its depth: 0 for a string or number */
  skip(): number {
    const { json } = this;
    const { length } = json;
    let at = this.at;
    let depth = 0;
    let deepest = 0;
    while (at < length) {
      const code = json[at] ?? SPACE;
      if (code === QUOTE) {
        at = this.endOfString(at);
        if (depth === 0) break;
      } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
        at++;
        if (++depth > deepest) deepest = depth;
      } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
        // A number, `true`, `false` or `null` ends here.
        if (depth === 0) break;
        at++;
        if (--depth === 0) break;
      } else if (depth === 0 && (code === COMMA || code <= SPACE)) break;
      else at++;
    }
    this.at = at;
    return deepest;
  }

  /** Kind of the value at this position. */
  get kind(): 'object' | 'array' | 'other' {
    const code = this.json[this.at];
    return code === OPEN_BRACE ? 'object' : code === OPEN_BRACKET ? 'array' : 'other';
  }

  private enter(): void {
    this.at++;
    this.skipBlanks();
  }

  private next(): void {
    this.skipBlanks();
    if (this.json[this.at] !== COMMA) return;
    this.at++;
    this.skipBlanks();
  }

  private skipBlanks(): void {
    while ((this.json[this.at] ?? QUOTE) <= SPACE) this.at++;
  }

  /** `at`: position of the first quote. @returns the position after the last one */
  private endOfString(at: number): number {
    const { json } = this;
    for (let i = at + 1; ;) {
      for (const near = i + SHORT; i < near; i++) {
        const code = json[i];
        if (code === QUOTE) return i + 1;
        if (code === BACKSLASH) i++;
      }
      const quote = json.indexOf(QUOTE, i);
      let from = quote;
      while (from > i && json[from - 1] === BACKSLASH) from--;
      if ((quote - from) % 2 === 0) return quote + 1;
      i = quote + 1;
    }
  }
}
