/**
 * Reads bodies that contain payloads. A payload is kept as the text that the caller wrote: JavaScript cannot represent numbers such
 * as 9007199254740993 or 1e400, and moves members whose names look like numbers to the front.
 */
import { JsonWalk } from '@app/protocol';
import { pointerPart } from '../http/pointer.js';
import { Problem } from '../http/problem.js';

/** Names that are compared: a message has fewer members, so one with more is refused in any case. */
const MOST_NAMES = 16;

/** A payload as it was written. */
export class PayloadText {
  constructor(
    readonly text: string,
    /** How deep arrays and objects nest; 0 for a string or number. */
    readonly depth: number,
  ) {}
}

/** The body of a single message, with its payload as text. @throws Problem; SyntaxError if it is not JSON */
export function readMessage(json: Buffer): unknown {
  const body: unknown = JSON.parse(json.toString());
  const walk = new JsonWalk(json);
  if (walk.kind !== 'object') return body;
  const { payload, duplicate } = membersOf(walk);
  if (duplicate !== undefined) throw duplicateMember(duplicate);
  if (payload !== undefined) (body as { payload: unknown }).payload = payload;
  return body;
}

/**
 * The body of a batch, with its payloads as text. An item in which a member occurs twice is replaced by a problem.
 * @throws Problem; SyntaxError if it is not JSON
 */
export function readBatch(json: Buffer): unknown {
  const body: unknown = JSON.parse(json.toString());
  const walk = new JsonWalk(json);
  if (walk.kind !== 'object') return body;
  const names = new Set<string>();
  const items: (Members | undefined)[] = [];
  walk.object((name) => {
    if (names.has(name)) throw duplicateMember(name);
    names.add(name);
    if (name !== 'messages' || walk.kind !== 'array') walk.skip();
    else walk.array(() => items.push(walk.kind === 'object' ? membersOf(walk) : void walk.skip()));
  });
  const { messages } = body as { messages: unknown[] };
  for (const [i, item] of items.entries()) {
    if (item?.duplicate !== undefined) messages[i] = duplicateMember(item.duplicate);
    else if (item?.payload !== undefined) (messages[i] as { payload: unknown }).payload = item.payload;
  }
  return body;
}

interface Members {
  payload?: PayloadText;
  /** Name of a member that occurs twice. */
  duplicate?: string;
}

function membersOf(walk: JsonWalk): Members {
  const members: Members = {};
  const names: string[] = [];
  walk.object((name) => {
    if (names.length < MOST_NAMES) {
      if (names.includes(name)) members.duplicate = name;
      names.push(name);
    }
    if (name !== 'payload') {
      walk.skip();
      return;
    }
    const { text, depth } = walk.value();
    members.payload = new PayloadText(text, depth);
  });
  return members;
}

function duplicateMember(name: string): Problem {
  const pointer = `/${pointerPart(name)}`;
  const detail = 'occurs more than once; remove one of them';
  return new Problem('invalid', `${pointer}: ${detail}`, { errors: [{ pointer, detail }] });
}
