/** The pages of a list of connections, and how events change them. */
import type { Connection, ConnectionPage, ConnectionsQuery, ConnectorEvent } from '@cloud-connector/client';
import { useInfiniteQuery, useQueryClient, type InfiniteData } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef } from 'react';
import { useAccess } from '../../api/access.js';
import { useFailure } from '../../api/use-state-of-service.js';
import { useThrottled } from '../../api/use-throttled.js';
import { byClient, changedBy } from './changed-by.js';

const PAGE = 500;
const REFRESH_MS = 1000;
/** Events of this time change a long list together: each change looks at every row. */
const CHANGE_MS = 250;

/** Of a client. They say its state, and when that and the one before began. */
const LAST_EVENTS = 2;

type Pages = InfiniteData<ConnectionPage, string | undefined>;

export interface ConnectionList {
  rows: readonly Connection[];
  error: Error | null;
  isLoading: boolean;
  hasMore: boolean;
  loadMore: () => void;
  apply: (event: ConnectorEvent) => void;
}

export function useConnections(query: ConnectionsQuery): ConnectionList {
  const { connector } = useAccess();
  const queries = useQueryClient();
  const key = useMemo(() => ['connections', query], [query]);
  const pages = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam: cursor, signal }) =>
      connector.listConnections({ ...query, limit: PAGE, ...(cursor !== undefined && { cursor }) }, { signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor: next }) => next ?? undefined,
    // A comparison of 100,000 rows with the ones before would cost more than to draw those in sight.
    structuralSharing: false,
  });
  const { data, isLoading, isFetching, hasNextPage, fetchNextPage } = pages;
  const failure = useFailure(pages, data);
  const rows = useMemo(() => rowsOf(data?.pages ?? []), [data]);

  const loadMore = useCallback(() => {
    if (hasNextPage && !isFetching) void fetchNextPage();
  }, [hasNextPage, isFetching, fetchNextPage]);

  const refresh = useThrottled(() => void queries.invalidateQueries({ queryKey: key }), REFRESH_MS);
  const waiting = useRef(new Map<string, ConnectorEvent[]>());
  const change = useThrottled(() => {
    // The page that is being read may be older than they are, and its response replaces all pages.
    if (isFetching) return;
    const events = byClient([...waiting.current.values()].flat());
    waiting.current.clear();
    if (events.size > 0) queries.setQueryData<Pages>(key, (before) => before && pagesAfter(before, events));
  }, CHANGE_MS);
  useEffect(() => {
    if (!isFetching) change();
  }, [isFetching, change]);
  const apply = useCallback(
    (event: ConnectorEvent) => {
      // A list of one page is read again, which finds new connections too. Of a longer one, the rows are changed in place.
      if ((queries.getQueryData<Pages>(key)?.pages.length ?? 1) <= 1) {
        refresh();
        return;
      }
      if (event.type !== 'connection.online' && event.type !== 'connection.offline') return;
      const ofClient = [...(waiting.current.get(event.client_id) ?? []), event];
      waiting.current.set(event.client_id, ofClient.slice(-LAST_EVENTS));
      change();
    },
    [queries, key, refresh, change],
  );

  return {
    rows,
    error: failure,
    isLoading: isLoading || isFetching,
    hasMore: hasNextPage,
    loadMore,
    apply,
  };
}

/** The same object if the events are about nobody on the pages. */
function pagesAfter(before: Pages, events: ReturnType<typeof byClient>): Pages {
  const pages = before.pages.map((page) => changedBy(page, events));
  return pages.every((page, i) => page === before.pages[i]) ? before : { ...before, pages };
}

/** The service lists them shard by shard. A list of one page is shown by client id; of a longer one, no row moves while it grows. */
function rowsOf(pages: readonly ConnectionPage[]): Connection[] {
  const rows = pages.flatMap((page) => page.data);
  if (pages.length > 1 || pages[0]?.next_cursor != null) return rows;
  return rows.toSorted((a, b) => (a.client_id < b.client_id ? -1 : 1));
}
