/** What the envelope says of itself, read also if the rest of the message is missing or wrong. */

const MEMBERS = ['type', 'message_id', 'in_response_to'] as const;
/** Characters that are looked at. */
const MOST = 1024;
/** A string of JSON, or one of the characters that matter outside of strings. */
const TOKENS = /"(?:[^"\\\n\r]|\\.)*"|[{}[\]:,]/g;

export type MessageHead = Partial<Record<(typeof MEMBERS)[number], unknown>>;

/**
 * The members among the first 1,024 characters of a text that begins like a JSON object. Only members of the object itself count, and
 * only strings that are there in full.
 */
export function messageHead(text: string): MessageHead {
  const head: MessageHead = {};
  let depth = 0;
  let name: string | undefined;
  let isValue = false;
  for (const [token] of text.slice(0, MOST).matchAll(TOKENS)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    if (depth !== 1) continue;
    if (token === ',') [name, isValue] = [undefined, false];
    else if (token === ':') isValue = true;
    else if (token.startsWith('"')) {
      const string = stringOf(token);
      if (!isValue) name = string;
      else for (const member of MEMBERS) if (member === name) head[member] = string;
    }
  }
  return head;
}

/** The message that an answer names, however wrong the rest of the answer is. */
export function answerTo({ type, in_response_to: id }: MessageHead): { answerTo?: string } {
  const isAnswer = type === 'message-response' || type === 'message-error';
  return isAnswer && isMessageId(id) ? { answerTo: id } : {};
}

export function isMessageId(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 128;
}

function stringOf(token: string): string | undefined {
  try {
    return JSON.parse(token) as string;
  } catch {
    return undefined;
  }
}
