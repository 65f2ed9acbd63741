-- Constants that TypeScript and Lua share, generated from the TypeScript by
-- GENERATE=1 npx jest --selectProjects unit -- from-typescript.spec.ts
-- Words are one text, each between bars: a table would be built by every run of a script.

local TRANSITIONS = '|queued in_flight|queued expired|queued cancelled|queued answered|queued failed|in_flight sent|in_flight queued|in_flight answered|in_flight failed|sent answered|sent failed|sent unanswered|' -- luacheck: ignore 631
local STORED_STATUSES = '|queued|in_flight|sent|answered|failed|unanswered|expired|cancelled|'
local FINISHED_STATUSES = '|sent|answered|failed|unanswered|expired|cancelled|'
local EVENT_STREAM_NAMES = '|state|talk|refusals|dead-letters|'
local STATE_SHARE = 2
local TALK_SHARE = 4
local REFUSALS_SHARE = 8
local DEAD_LETTERS_SHARE = 8
local MESSAGE_BYTES = 1024
local FINISHED_MESSAGE_BYTES = 336
local AWAITING_MESSAGE_BYTES = 112
local UNKNOWN_PAYER = 'unknown'
local IN_FLIGHT_OF = 'in_flight:'
local ACCOUNT_MOVED = 'the client belongs to another account now'
local OUTCOME_UNKNOWN = 'the outcome of a publish is unknown'
local EXPIRED_UNKNOWN = 'its time to live has ended, and the outcome of a publish is unknown'
local REFUSED_WITH_ID = 'id/'
local REFUSED_WITHOUT_ID = 'no-id/'
local REFUSAL_EVERY_MS = 1000
