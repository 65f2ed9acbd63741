/** Messages of clients that could not be processed, with the reason. */
import type { DeadLetter } from '@cloud-connector/client';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useCallback, useMemo, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useFailure } from '../../api/use-state-of-service.js';
import { Badge } from '../../ui/badge.js';
import { Button } from '../../ui/button.js';
import { CurlPopover } from '../../ui/curl.js';
import { Empty } from '../../ui/empty.js';
import { CodeBlock } from '../../ui/json-field.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import styles from './dead-letters.module.css';

const PAGE = 100;

export function DeadLetters(): ReactNode {
  const { connector } = useAccess();
  const { data, isFetching, hasNextPage, fetchNextPage, refetch, ...query } = useInfiniteQuery({
    queryKey: ['dead letters'],
    queryFn: ({ pageParam: cursor, signal }) =>
      connector.listDeadLetters({ limit: PAGE, ...(cursor !== undefined && { cursor }) }, { signal }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor: next }) => next ?? undefined,
  });
  const letters = useMemo(() => data?.pages.flatMap((page) => page.data) ?? [], [data]);
  const more = useCallback(() => void fetchNextPage(), [fetchNextPage]);
  const failure = useFailure(query, data);
  return (
    <>
      <PageHead
        title="Dead letters"
        about="What clients sent and nobody could process. The newest of each shard are kept."
        actions={
          <>
            <CurlPopover act={{ method: 'GET', url: '/v1/cluster/dead-letters', query: { limit: PAGE } }} />
            <Button onClick={() => void refetch()}>Read again</Button>
          </>
        }
      />
      {failure !== null && <Failure error={failure} />}
      {data !== undefined && letters.length === 0 && (
        <Panel>
          <Empty title="There are none">
            <p>Every message of a client was understood.</p>
          </Empty>
        </Panel>
      )}
      <ul className={styles.list}>
        {letters.map((letter, index) => (
          <li key={`${letter.shard} ${letter.at} ${index}`}>
            <Letter letter={letter} />
          </li>
        ))}
      </ul>
      {hasNextPage && (
        <div>
          <Button disabled={isFetching} onClick={more}>
            Load more
          </Button>
        </div>
      )}
    </>
  );
}

function Letter({ letter }: { letter: DeadLetter }): ReactNode {
  const { at, client_id: clientId, reason, details, topic, sample } = letter;
  return (
    <Panel>
      <article className={styles.letter}>
        <header className={styles.head}>
          <Badge tone="bad">{reason}</Badge>
          {clientId === '' ? (
            <span>no client</span>
          ) : (
            <Link to="/connections/$clientId" params={{ clientId }}>
              {clientId}
            </Link>
          )}
          {topic !== '' && <code>{topic}</code>}
          <span className={styles.when}>
            <Time at={at} both />
          </span>
        </header>
        <p>{details}</p>
        {sample !== '' && <CodeBlock label="Beginning of the message">{sample}</CodeBlock>}
      </article>
    </Panel>
  );
}
