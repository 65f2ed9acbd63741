import fc from 'fast-check';
import { decodeToDo, encodeToDo, type Command, type Connection, type MailboxMessage, type ToDo } from '@app/registry';
import {
  IN,
  STATUS,
  T0,
  RULES,
  ENVELOPE,
  OFFLINE,
  packet,
  handshake,
  command,
  counter,
} from '../../../../test/support/folds.js';
import { fold, type Folded } from './fold.js';

describe('fold', () => {
  /**
   * How a mailbox is split into batches depends on load and restarts, and must not change the outcome: the connections, the
   * to-dos that are left, and the events, dead letters and replies in their order.
   */
  it('fold gives the same outcome however the mailbox is split into batches', () => {
    fc.assert(
      fc.property(mailbox(), fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 20 }), (messages, sizes) => {
        const whole = outcomeOf([messages]);
        expectOneOfEachKind([...whole.todos.keys()].map(decodeToDo));
        expect(outcomeOf(messages.map((message) => [message]))).toEqual(whole);
        expect(outcomeOf(cut(messages, sizes))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });
});

function cut(messages: readonly MailboxMessage[], sizes: readonly number[]): MailboxMessage[][] {
  const batches: MailboxMessage[][] = [];
  let from = 0;
  for (const size of sizes) {
    batches.push(messages.slice(from, from + size));
    from += size;
  }
  return [...batches, messages.slice(from)];
}

/** What is stored and emitted after these batches, with one commit each. */
function outcomeOf(
  batches: readonly (readonly MailboxMessage[])[],
): Record<string, unknown> & { todos: ReadonlyMap<string, number> } {
  const stored = new Map<string, Connection | undefined>();
  const todos = new Map<string, number>();
  const immediate = new Map<string, number>();
  const cameOnline = new Set<string>();
  const batchesFolded: Pick<Folded, 'events' | 'deadLetters' | 'replies'>[] = [];
  const mintId = counter();
  for (const batch of batches) {
    const folded = fold(batch, stored, RULES, mintId);
    for (const [id, { before, after }] of folded.connections) {
      expect(before).toBe(stored.get(id));
      if (after === undefined) stored.delete(id);
      else stored.set(id, after);
    }
    for (const todo of folded.withdrawn) {
      todos.delete(encodeToDo(todo));
      immediate.delete(encodeToDo(todo));
    }
    for (const { todo, due } of folded.immediate) immediate.set(encodeToDo(todo), due);
    for (const { todo, due } of folded.todos) todos.set(encodeToDo(todo), due);
    for (const { clientId } of folded.cameOnline) cameOnline.add(clientId);
    batchesFolded.push(folded);
  }
  return {
    stored,
    todos,
    cameOnline,
    events: batchesFolded.flatMap(({ events }) => events),
    deadLetters: batchesFolded.flatMap(({ deadLetters }) => deadLetters),
    immediate,
    replies: batchesFolded.flatMap(({ replies }) => replies),
  };
}

/** A client has at most one reply of each kind, however many messages and commands there were. */
function expectOneOfEachKind(todos: readonly ToDo[]): void {
  const kinds = todos.flatMap((one) => (one.do === 'reply' ? [`${one.client_id} ${one.reply.type}`] : []));
  expect(kinds).toEqual([...new Set(kinds)]);
}

function mailbox(): fc.Arbitrary<MailboxMessage[]> {
  const client = fc.constantFrom('a', 'b', 'c');
  const id = fc.constantFrom('m-1', 'm-2', 'm-3');
  const flags = {
    client,
    id,
    retain: fc.boolean(),
    dup: fc.boolean(),
    topic: fc.constantFrom(IN, IN, STATUS),
  };
  const said = fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .record({ ...flags, retain: fc.constant(true) })
        .map(({ client: who, id: one, ...given }) => handshake(who, one, given)),
    },
    fc.record(flags).map(({ client: who, id: one, ...given }) => handshake(who, one, given)),
    fc.record(flags).map(({ client: who, id: one, ...given }) => packet(who, { ...OFFLINE, message_id: one }, given)),
    fc
      .record(flags)
      .map(({ client: who, id: one, ...given }) =>
        packet(
          who,
          { ...ENVELOPE, type: 'message-error', message_id: one, in_response_to: 'x', payload: { details: one } },
          given,
        ),
      ),
    fc
      .record({ ...flags, body: fc.constantFrom('', 'hello', '{"type":"host-handshake"}') })
      .map(({ client: who, body, retain, dup, topic }) => packet(who, body, { retain, dup, topic })),
    fc
      .record({
        client,
        given: fc.constantFrom<Command>(
          { do: 'force-disconnect', reconnect_after: 'PT0.003S' },
          { do: 'force-disconnect', reconnect_after: 'soon' },
          { do: 'lift-refusal' },
          { do: 'forget' },
        ),
      })
      .map(({ client: who, given }) => command(who, given)),
  );
  return fc
    .array(said, { minLength: 1, maxLength: 25 })
    .map((messages) => messages.map((message, i) => ({ ...message, at: T0 + i })));
}
