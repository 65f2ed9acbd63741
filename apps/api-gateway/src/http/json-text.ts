/** JSON that a client wrote, in a response, as the client wrote it: JavaScript cannot represent numbers such as 1.10 or 1e400. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';

/** Nobody can know it, since it is never sent. */
const MARK = randomUUID();

/** The texts of the response that is being serialized, in their order; undefined outside of that. */
let texts: string[] | undefined;

/** A value of a response that has this text. It may be anywhere in the body. */
export class JsonText {
  /** @param text valid JSON */
  constructor(readonly text: string) {}

  /** `JSON.stringify` calls it. */
  toJSON(): unknown {
    if (texts === undefined) return JSON.parse(this.text);
    texts.push(this.text);
    return MARK;
  }
}

export function toJson(body: unknown): string {
  const found: string[] = [];
  texts = found;
  try {
    const json = JSON.stringify(body);
    if (found.length === 0) return json;
    let next = 0;
    return json.replaceAll(`"${MARK}"`, () => found[next++] ?? '');
  } finally {
    texts = undefined;
  }
}

export function writeJsonTexts(fastify: FastifyInstance): void {
  fastify.setReplySerializer(toJson);
}
