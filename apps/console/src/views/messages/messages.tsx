/** Messages across all connections: of those that were read, the newest first. The service finds them shard by shard. */
import type { Message } from '@cloud-connector/client';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useFailure } from '../../api/use-state-of-service.js';
import { useEvents } from '../../api/use-events.js';
import { useThrottled } from '../../api/use-throttled.js';
import { Button } from '../../ui/button.js';
import { ClientFilter } from '../../ui/client-filter.js';
import { CurlPopover } from '../../ui/curl.js';
import { DataTable, type Column } from '../../ui/data-table.js';
import { Empty } from '../../ui/empty.js';
import { Choice, FilterBar } from '../../ui/fields.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { MESSAGE_STATUSES, StatusBadge, statusText } from '../../ui/status.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import styles from './messages.module.css';
import { messagesSearch, sinceOf, SPANS, type MessagesSearch } from './search.js';

const PAGE = 100;
const REREAD_MS = 1000;

export function Messages(): ReactNode {
  const search = useSearch({ from: '/messages' });
  const navigate = useNavigate({ from: '/messages' });
  const { connector } = useAccess();
  const queries = useQueryClient();
  const query = useMemo(() => toQuery(search), [search]);
  const queryKey = useMemo(() => ['messages', search], [search]);
  const { data, isFetching, hasNextPage, fetchNextPage, ...pages } = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam: cursor, signal }) =>
      connector.searchMessages({ ...query, limit: PAGE, ...(cursor !== undefined && { cursor }) }, { signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor: next }) => next ?? undefined,
  });
  const rows = useMemo(() => newestFirst(data?.pages.flatMap((page) => page.data) ?? []), [data]);
  const lookedAt = data?.pages.reduce<number | null>(
    (sum, { looked_at: each }) => (sum === null || each === null ? null : sum + each),
    0,
  );
  const reread = useThrottled(() => {
    if ((data?.pages.length ?? 1) <= 1) void queries.invalidateQueries({ queryKey });
  }, REREAD_MS);
  const stream = useEvents({ types: ['message.status'], clientId: search.client, onEvent: reread });
  const setSearch = useCallback(
    (changed: MessagesSearch) => void navigate({ search: (before) => ({ ...before, ...changed }), replace: true }),
    [navigate],
  );
  const more = useCallback(() => void fetchNextPage(), [fetchNextPage]);
  const failure = useFailure(pages, data);
  return (
    <>
      <PageHead
        title="Messages"
        stream={stream}
        actions={<CurlPopover act={{ method: 'GET', url: '/v1/messages', query }} />}
      />
      <FilterBar>
        <Choice
          bare
          label="Status"
          value={search.status ?? ''}
          options={[['', 'Any status'], ...MESSAGE_STATUSES.map((status) => [status, statusText(status)] as const)]}
          onChange={(status) => setSearch({ status: messagesSearch({ status }).status })}
        />
        <Choice
          bare
          label="Accepted"
          value={search.span ?? ''}
          options={[['', 'At any time'], ...Object.entries(SPANS).map(([span, { text }]) => [span, text] as const)]}
          onChange={(span) => setSearch({ span: messagesSearch({ span }).span })}
        />
        <ClientFilter value={search.client ?? ''} onChange={(client) => setSearch({ client })} />
      </FilterBar>
      {failure !== null && <Failure error={failure} />}
      <Panel flush>
        <DataTable
          label="Messages"
          columns={COLUMNS}
          rows={rows}
          keyOf={({ message_id: id }) => id}
          below={secondLine}
          foot={
            data !== undefined && (
              <span className={styles.foot}>
                {rows.length.toLocaleString()} found
                {typeof lookedAt === 'number' && `, ${lookedAt.toLocaleString()} entries of lists looked at`}
                {hasNextPage && (
                  <Button small disabled={isFetching} onClick={more}>
                    Look further
                  </Button>
                )}
              </span>
            )
          }
          empty={
            data !== undefined &&
            !hasNextPage && (
              <Empty title="There is no such message">
                <p>
                  Finished messages are kept for a while only. Send one from the page of a{' '}
                  <Link to="/connections">connection</Link>.
                </p>
              </Empty>
            )
          }
        />
      </Panel>
    </>
  );
}

/** A message that changes while pages are read may come twice. */
function newestFirst(messages: readonly Message[]): Message[] {
  const byId = new Map(messages.map((message) => [message.message_id, message]));
  return [...byId.values()].toSorted((a, b) => b.created_at.localeCompare(a.created_at));
}

/** The filters as the API takes them. */
function toQuery({ status, client, span }: MessagesSearch): Record<string, string> & { status?: Message['status'] } {
  return {
    ...(status !== undefined && { status }),
    ...(client !== undefined && { client_id: client }),
    ...(span !== undefined && { since: sinceOf(span, Date.now()) }),
  };
}

const COLUMNS: readonly Column<Message>[] = [
  {
    id: 'directive',
    head: 'Directive',
    width: 'minmax(0, 1.5fr)',
    cell: ({ message_id: messageId, directive }) => (
      <Link to="/messages/$messageId" params={{ messageId }}>
        {directive}
      </Link>
    ),
  },
  { id: 'status', head: 'Status', width: '7rem', cell: ({ status }) => <StatusBadge status={status} /> },
  {
    id: 'client',
    head: 'Client',
    width: 'minmax(0, 1.5fr)',
    cell: ({ client_id: clientId }) => (
      <Link to="/connections/$clientId" params={{ clientId }}>
        {clientId}
      </Link>
    ),
  },
  {
    id: 'created',
    head: 'Accepted',
    width: 'minmax(0, 1fr)',
    wide: true,
    cell: ({ created_at: at }) => <Time at={at} both />,
  },
  {
    id: 'answer',
    head: 'Answer',
    width: 'minmax(0, 1fr)',
    wide: true,
    cell: ({ answer }) => (answer === null ? '–' : <Time at={answer.received_at} />),
  },
];

function secondLine({ created_at: at }: Message): ReactNode {
  return <Time at={at} both />;
}
