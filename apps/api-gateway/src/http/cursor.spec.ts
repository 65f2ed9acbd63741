import { DeadLettersQuery, toDeadLetterPage } from '../cluster/dead-letter.dto.js';
import { CONNECTION_CURSOR, ListQuery } from '../connections/connection.dto.js';
import { MESSAGE_CURSOR, MessageListQuery } from '../messages/message.dto.js';

/** Cursors of release 0.1.0: callers may have them across an upgrade. */
const KEPT = { connections: 'WzcsImhvc3QtMSJd', messages: 'MTIz', deadLetters: 'eyJzaGFyZCI6NywiaWQiOiIxNy0wIn0' };

describe('Cursor', () => {
  it('decodes the cursors that an older gateway encoded', () => {
    expect(ListQuery.parse({ cursor: KEPT.connections }).cursor).toEqual({ shard: 7, after: 'host-1' });
    expect(MessageListQuery.parse({ cursor: KEPT.messages }).cursor).toBe(123);
    expect(DeadLettersQuery.parse({ cursor: KEPT.deadLetters }).cursor).toEqual({ shard: 7, id: '17-0' });
  });

  it('encodes cursors that an older gateway can decode', () => {
    expect(CONNECTION_CURSOR.encode({ shard: 7, after: 'host-1' })).toBe(KEPT.connections);
    expect(MESSAGE_CURSOR.encode(123)).toBe(KEPT.messages);
    const { next_cursor: deadLetters } = toDeadLetterPage({ letters: [], next: { shard: 7, id: '17-0' } });
    const json: unknown = JSON.parse(Buffer.from(deadLetters ?? '', 'base64url').toString());
    expect(json).toEqual({ shard: 7, id: '17-0' });
  });

  it('encodes the last page as null', () => {
    expect(CONNECTION_CURSOR.encode(undefined)).toBeNull();
    expect(toDeadLetterPage({ letters: [] }).next_cursor).toBeNull();
  });

  const base64 = (text: string): string => Buffer.from(text).toString('base64url');

  it.each(['', '!!!', base64('x'), base64('0'), base64('-1'), base64('1.5'), base64('1e300'), base64('"1"')])(
    'refuses %j as a cursor of messages, and names the parameter',
    (cursor) => {
      expect(MessageListQuery.safeParse({ cursor }).error?.issues).toMatchObject([
        { path: ['cursor'], message: 'must be a next_cursor of an earlier page' },
      ]);
    },
  );

  it.each(['{"shard":4096,"id":"1-0"}', '{"shard":1,"id":"1"}', '{"shard":1}', '[1,"1-0"]', 'null'])(
    'refuses %s as a cursor of dead letters, and names the parameter',
    (json) => {
      expect(DeadLettersQuery.safeParse({ cursor: base64(json) }).error?.issues).toMatchObject([
        { path: ['cursor'], message: 'must be a next_cursor of an earlier page' },
      ]);
    },
  );
});
