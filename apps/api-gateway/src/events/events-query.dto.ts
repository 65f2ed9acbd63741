/** The query of the event stream. */
import { EVENT_TYPES, type EventType } from '@app/registry';
import { z } from 'zod';
import { ClientIdParam, TimestampParam } from '../http/validation.js';

const typesError = `must name events, with commas between them: ${EVENT_TYPES.join(', ')}; "connection.*" names all of a kind`;

function typesNamed(name: string): EventType[] {
  return EVENT_TYPES.filter((type) => type === name || (name.endsWith('.*') && type.startsWith(name.slice(0, -1))));
}

/** A type of event, or all of a kind. */
export const EventFilter = z
  .enum([...EVENT_TYPES, ...new Set(EVENT_TYPES.map((type) => `${type.slice(0, type.indexOf('.'))}.*` as const))])
  .meta({ id: 'EventFilter', description: 'A type of event; with `*`, all types of a kind.' });

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const EventsQuery = z.strictObject({
  types: z
    .preprocess(
      // Some generated clients repeat the parameter for each type.
      (texts) => (Array.isArray(texts) ? texts.join() : texts),
      z.string().transform((text, ctx): ReadonlySet<EventType> => {
        const named = text.split(',').map(typesNamed);
        if (named.every((types) => types.length > 0)) return new Set(named.flat());
        ctx.addIssue({ code: 'custom', message: typesError });
        return z.NEVER;
      }),
    )
    .optional()
    .meta({
      ...{
        type: 'array',
        minItems: 1,
        maxItems: EventFilter.options.length,
        items: { $ref: '#/components/schemas/EventFilter' },
      },
      description:
        'Only events of these types, with commas between them; `connection.*` names all of a kind. Without it, all types but ' +
        '`message.progress`, `message.unmatched_response`, `client.message`, which needs the scope `messages:read` as well, and ' +
        '`member.joined`, `member.left` and `dead_letter.added`, which need `cluster:read` as well.',
      example: ['message.status'],
    }),
  client_id: ClientIdParam.optional().meta({ description: 'Only events of this client.' }),
  since: TimestampParam.optional().meta({
    description:
      'The stream begins with the events whose `at` is then or later, as far as they are kept, and goes on with new ones; a ' +
      '`gap` says that earlier events of a shard may be missing. A time in the future, by the clock of the service, means: from ' +
      'now on. It is ignored if `Last-Event-ID` is sent: an `EventSource` that reconnects sends both.',
    example: '2026-11-30T06:00:00Z',
  }),
});
export type EventsQuery = z.infer<typeof EventsQuery>;
