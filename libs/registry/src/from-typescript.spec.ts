/** Checks, or with `GENERATE=1` writes, the Lua file of constants that are defined in TypeScript. */
import { readFileSync, writeFileSync } from 'node:fs';
import { ACCOUNT_MOVED } from './messages/account-check.js';
import {
  AWAITING_MESSAGE_BYTES,
  FINISHED_MESSAGE_BYTES,
  IN_FLIGHT_OF,
  MESSAGE_BYTES,
  UNKNOWN_PAYER,
} from './messages/byte-budget.js';
import { DEAD_LETTERS_SHARE, EVENT_STREAM_NAMES, REFUSALS_SHARE, STATE_SHARE, TALK_SHARE } from './events/event-log.js';
import { EXPIRED_UNKNOWN, OUTCOME_UNKNOWN, STORED_STATUSES, TRANSITIONS, type StoredStatus } from './message-status.js';
import { REFUSAL_EVERY_MS, REFUSED_WITHOUT_ID, REFUSED_WITH_ID } from './connections/refusals.js';

const PATH = `${import.meta.dirname}/commands/includes/from-typescript.lua`;
/** The longest line that luacheck accepts, see `.luacheckrc`. A longer text is not split: Lua would join it in each run. */
const MAX_LINE = 150;
const REMEDY = 'GENERATE=1 npx jest --selectProjects unit -- from-typescript.spec.ts';

function isUnfinished(status: StoredStatus): boolean {
  return status === 'queued' || status === 'in_flight';
}

function luaText(text: string): string {
  return `'${text}'`;
}

function shownLine(line: string): string {
  return line.length <= MAX_LINE ? line : `${line} -- luacheck: ignore 631`;
}

/** Words as one text, each between bars: a table would be built by every run of a script. */
function luaWords(words: readonly string[]): string {
  return luaText(`|${words.join('|')}|`);
}

function generated(): string {
  const transitions = STORED_STATUSES.flatMap((from) => TRANSITIONS[from].map((to) => `${from} ${to}`));
  const finished = STORED_STATUSES.filter((status) => !TRANSITIONS[status].some(isUnfinished));
  const constants = {
    TRANSITIONS: luaWords(transitions),
    STORED_STATUSES: luaWords(STORED_STATUSES),
    FINISHED_STATUSES: luaWords(finished),
    EVENT_STREAM_NAMES: luaWords(EVENT_STREAM_NAMES),
    STATE_SHARE,
    TALK_SHARE,
    REFUSALS_SHARE,
    DEAD_LETTERS_SHARE,
    MESSAGE_BYTES,
    FINISHED_MESSAGE_BYTES,
    AWAITING_MESSAGE_BYTES,
    UNKNOWN_PAYER: luaText(UNKNOWN_PAYER),
    IN_FLIGHT_OF: luaText(IN_FLIGHT_OF),
    ACCOUNT_MOVED: luaText(ACCOUNT_MOVED),
    OUTCOME_UNKNOWN: luaText(OUTCOME_UNKNOWN),
    EXPIRED_UNKNOWN: luaText(EXPIRED_UNKNOWN),
    REFUSED_WITH_ID: luaText(REFUSED_WITH_ID),
    REFUSED_WITHOUT_ID: luaText(REFUSED_WITHOUT_ID),
    REFUSAL_EVERY_MS,
  };
  return [
    '-- Constants that TypeScript and Lua share, generated from the TypeScript by',
    `-- ${REMEDY}`,
    '-- Words are one text, each between bars: a table would be built by every run of a script.',
    '',
    ...Object.entries(constants).map(([name, value]) => shownLine(`local ${name} = ${value}`)),
    '',
  ].join('\n');
}

test('the constants in the Lua include equal those in TypeScript', () => {
  if (process.env['GENERATE'] !== undefined) writeFileSync(PATH, generated());
  // If this fails, run the command that the file names.
  expect(readFileSync(PATH, 'utf8')).toBe(generated());
});
