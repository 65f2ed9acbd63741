/**
 * Words that mean something to us alone, or that say a thing in a roundabout way, and what to say instead. Topics, wire
 * types, REST members and values, settings and stored names of before are frozen: if a file has to name one, it is
 * among the exceptions, with the reason. An exception that matches nothing any more fails the test.
 */

export interface BannedWord {
  /** Matched against lower-case text in which names are taken apart: `lastHeldAt` is `last held at`. */
  word: RegExp;
  /**
   * `names`: declared names in apps and libs, without those of specs. `comments`: those in apps and libs. `texts`: whole
   * files, documents included.
   */
  in: 'names' | 'comments' | 'texts';
  instead: string;
  allowed?: readonly { path: string; why: string }[];
}

const FORMER = 'the name that format 3 replaced';
const STATUS = 'the message status';
const SHUTDOWN = 'a process that shuts down';
const HASH_SLOT = 'the hash slots of Redis Cluster';

function allow(why: string, ...paths: string[]): { path: string; why: string }[] {
  return paths.map((path) => ({ path, why }));
}

const OUTBOX = 'libs/registry/src/messages/outbox.ts';

export const BANNED_WORDS: readonly BannedWord[] = [
  // Sentences.
  { word: /\bwhere\b/, in: 'comments', instead: '"if" or "when" for a condition, "in which" for a place' },
  { word: /\bsuch a one\b/, in: 'texts', instead: 'name the thing again' },
  { word: /\bof whom\b/, in: 'texts', instead: 'two sentences' },
  { word: /\bmeanwhile\b/, in: 'texts', instead: '"during …", "since then" or "until then"' },
  { word: /\banew\b/, in: 'texts', instead: '"again"' },
  { word: /\bmend(s|ed|ing)?\b/, in: 'texts', instead: '"fix" or "correct"' },
  { word: /\bnone the less\b/, in: 'texts', instead: '"but"' },
  { word: /\bin vain\b/, in: 'texts', instead: 'say what did not happen' },

  // Verbs of speech for what the code does.
  { word: /\bheard\b/, in: 'texts', instead: '"received"' },
  { word: /\bunheard\b/, in: 'names', instead: '"no subscribers", the name of MQTT\'s reason 0x10' },
  { word: /\b(un)?told\b/, in: 'comments', instead: '"published", "emitted" or "notified"' },
  { word: /\b(say|speak|said|spoken|tell|(un)?told)\b/, in: 'names', instead: '"report", "emit", "publish"' },

  // Reconciliation.
  { word: /\bagreements?\b/, in: 'comments', instead: '"reconciliation"' },
  { word: /\bdoubt(s|ed|ful)?\b/, in: 'comments', instead: '"verification request"; of data "possible data loss"' },
  {
    word: /\baside\b/,
    in: 'texts',
    instead: '"dead-lettered", "dead letter"',
    allowed: [
      ...allow(
        FORMER,
        'libs/registry/src/key-space/stored-names.ts',
        'libs/registry/src/key-space/stored-names.spec.ts',
      ),
    ],
  },
  { word: /\bshaken\b/, in: 'names', instead: '"last live handshake"' },

  // Intake.
  { word: /\bcut\b/, in: 'names', instead: '"throttled"' },
  { word: /\bfloods?\b/, in: 'comments', instead: '"throttled" clients, "client rate limit"' },
  { word: /\binsists?\b/, in: 'texts', instead: '"retry until stopped", "force"' },
  { word: /\bpoke[ds]?\b/, in: 'texts', instead: '"trigger"' },

  // Outbound.
  {
    word: /\b(woken|waking)\b/,
    in: 'names',
    instead: '"ready"',
  },
  {
    word: /\bsettlements?\b/,
    in: 'names',
    instead: '"publish result"',
  },
  {
    word: /\bsettle[ds]?\b/,
    in: 'names',
    instead: '"complete"',
    allowed: [
      ...allow(
        'the setting EVENT_SETTLE',
        'apps/status-ingester/src/rules/effect.ts',
        'apps/status-ingester/src/rules/event-coalescing.ts',
      ),
      ...allow('promises settle', 'apps/api-gateway/src/events/event-feed.ts'),
    ],
  },
  {
    word: /\bslots?\b/,
    in: 'names',
    instead: '"semaphore" or "permit"; only of Redis Cluster "hash slot"',
    allowed: [...allow(HASH_SLOT, 'libs/platform/src/memory-watch.ts', 'libs/platform/src/redis-slots-refresh.ts')],
  },
  {
    word: /\bheld\b/,
    in: 'names',
    instead: 'only the message status is `held`; say "owned", "leased", "retained"',
    allowed: [
      ...allow(
        STATUS,
        'apps/api-gateway/src/connections/connection.dto.ts',
        'apps/api-gateway/src/connections/connections.controller.ts',
        'apps/console/src/views/connections/search.ts',
        'libs/client/src/cli/commands/connections.ts',
        'libs/registry/src/commands/includes/held.lua',
        'libs/registry/src/commands/includes/held-connections.lua',
        'libs/registry/src/commands/message-totals.lua',
        'libs/registry/src/search/message-page.ts',
        'libs/registry/src/connections/connection-directory.ts',
        'libs/registry/src/connections/connection-writes.ts',
        'libs/registry/src/keys.ts',
        'libs/registry/src/messages/held-connections.ts',
        'libs/registry/src/messages/messages.ts',
        OUTBOX,
        'libs/registry/src/statistics/message-totals.ts',
      ),
      ...allow('a lease is held by its holder', 'libs/sharding/src/held-lease.ts'),
    ],
  },
  {
    word: /\bdraining\b/,
    in: 'names',
    instead: 'only a process that shuts down is draining',
    allowed: [
      ...allow(
        SHUTDOWN,
        'apps/api-gateway/src/cluster/cluster.dto.ts',
        'apps/api-gateway/src/cluster/working-processes.ts',
        'apps/api-gateway/src/gateway-http.ts',
        'apps/api-gateway/src/gateway.lifecycle.ts',
        'apps/api-gateway/src/http/availability.ts',
        'apps/api-gateway/src/http/http.module.ts',
        'apps/dispatcher/src/dispatcher.lifecycle.ts',
        'apps/status-ingester/src/ingester.lifecycle.ts',
        'libs/client/src/cli/commands/cluster.ts',
        'libs/platform/src/draining.ts',
        'libs/platform/src/health.ts',
        'libs/platform/src/lifecycle.ts',
        'libs/sharding/src/assignment.ts',
        'libs/sharding/src/leased-ownership.ts',
        'libs/sharding/src/members.ts',
      ),
    ],
  },

  // Ownership and health.
  { word: /\bstanding\b/, in: 'names', instead: '"lease status"' },
  { word: /\b(un)?fit\b/, in: 'names', instead: '"healthy", "unhealthy"' },
  { word: /\btroubled?\b/, in: 'names', instead: '"degraded", "outage", "problem"' },
  { word: /\bpatience\b/, in: 'names', instead: '"timeout", "grace"' },

  // Access and HTTP.
  { word: /\bdoors?\b/, in: 'texts', instead: '"listener policy"' },
  { word: /\banybody\b/, in: 'names', instead: '"anonymous"' },
  {
    word: /^within$/,
    in: 'names',
    instead: 'of an account "account"',
    allowed: [
      ...allow('a promise within a time', 'libs/platform/src/within.ts'),
      ...allow(
        'member of stored commands, which gateways of 0.1.0 write too',
        'libs/registry/src/connections/mailbox-entry.ts',
      ),
    ],
  },
  {
    word: /^\w+ parts$/,
    in: 'names',
    instead: '"options" or "dependencies", or constructor parameters',
  },
  { word: /\bgiven\b/, in: 'names', instead: 'what it is: "args", "keys", "text"' },
  { word: /\bgathered\b/, in: 'names', instead: '"write batch"' },
  { word: /\bbrief\b/, in: 'names', instead: '"truncate details"' },
];
