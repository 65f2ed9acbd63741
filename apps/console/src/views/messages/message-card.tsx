/** One message: its status, progress, answer and timeline. Whoever shows it says when it is to be read again. */
import { hasEnded, type Message } from '@cloud-connector/client';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useFailure } from '../../api/use-state-of-service.js';
import { acts } from '../../api/acts.js';
import { ActButton } from '../../ui/act-button.js';
import { JsonView } from '../../ui/json-field.js';
import { StatusBadge } from '../../ui/status.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import styles from './messages.module.css';

const CANCELLABLE: ReadonlySet<Message['status']> = new Set(['queued', 'held']);

export function MessageCard({ messageId }: { messageId: string }): ReactNode {
  const { connector, can } = useAccess();
  const { data, ...query } = useQuery({
    queryKey: ['message', messageId],
    queryFn: ({ signal }) => connector.readMessage(messageId, { signal }),
  });
  const failure = useFailure(query, data);
  if (data === undefined) return failure === null ? null : <Failure error={failure} />;
  return (
    <article aria-label={`Message ${messageId}`} className={styles.card}>
      <header className={styles.head}>
        <StatusBadge status={data.status} />
        <code>{data.directive}</code>
        {can('messages:write') && CANCELLABLE.has(data.status) && (
          <ActButton label="Cancel the message" tone="bad" title="Cancel this message?" act={acts.cancel(messageId)}>
            <p>It has not been sent yet; after this it never is.</p>
          </ActButton>
        )}
      </header>
      <WhyItIsHere message={data} />
      <Progress message={data} />
      <Answer message={data} />
      <ol className={styles.history} aria-label="Timeline">
        {data.status_history.map(({ status, at, details }, index) => (
          <li key={index}>
            <span>{status.replace('_', ' ')}</span>
            <Time at={at} both />
            {details !== null && <p>{details}</p>}
          </li>
        ))}
      </ol>
    </article>
  );
}

/** Why it waits, or why it failed. */
function WhyItIsHere({ message }: { message: Message }): ReactNode {
  if (message.status === 'held') {
    return (
      <p className={styles.note}>
        It waits until the client is back: the client is offline, or is not subscribed to its topic. It expires{' '}
        <Time at={message.expires_at} both />.
      </p>
    );
  }
  const details = message.status_history.at(-1)?.details ?? null;
  return message.status === 'failed' && details !== null ? <p className={styles.failure}>{details}</p> : null;
}

function Progress({ message }: { message: Message }): ReactNode {
  const { progress } = message;
  if (progress === null || hasEnded(message)) return null;
  return (
    <div className={styles.progress}>
      <progress max={100} value={progress.percent ?? undefined} aria-label="Progress" />
      <span>
        {progress.percent !== null && `${progress.percent} %`} {progress.details}
      </span>
    </div>
  );
}

function Answer({ message }: { message: Message }): ReactNode {
  const { answer, response_deadline: deadline } = message;
  if (answer === null) {
    if (deadline === null || hasEnded(message)) return null;
    return (
      <p className={styles.note}>
        It is awaited; the time for it ends <Time at={deadline} />.
      </p>
    );
  }
  return (
    <section aria-label="Answer" className={styles.answer}>
      <h3>
        Answer, <Time at={answer.received_at} both />
        {answer.late && ', too late'}
      </h3>
      {answer.omitted === undefined ? (
        <JsonView label="The answer" value={answer.payload} />
      ) : (
        <p className={styles.note}>{answer.size} bytes, not kept: there was no room for it.</p>
      )}
    </section>
  );
}
