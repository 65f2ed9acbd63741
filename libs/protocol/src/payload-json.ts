/** The payload of a message of a client, as the text that the client wrote. */
import { JsonWalk } from './json-walk.js';

/**
 * The text of the member `payload`: JavaScript cannot represent numbers such as 9007199254740993 or 1e400, and moves members whose
 * names look like numbers to the front. Line breaks and tabs between its values become blanks, so that it is one line.
 * @param json an object that `JSON.parse` accepts @returns undefined if it has no payload
 */
export function payloadJsonOf(json: string): string | undefined {
  const walk = new JsonWalk(Buffer.from(json));
  let text: string | undefined;
  walk.object((name) => {
    // Of several members with one name the last one counts, as for `JSON.parse`.
    if (name === 'payload') text = walk.value().text;
    else walk.skip();
  });
  return text?.replace(/[\t\n\r]+/g, ' ');
}
