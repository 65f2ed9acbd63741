/** One connection: who it is, what happened to it, its messages, and what can be done. */
import type { Connection as ConnectionBody } from '@cloud-connector/client';
import { ProblemError } from '@cloud-connector/client';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useFailure } from '../../api/use-state-of-service.js';
import { CONNECTION_EVENTS, MESSAGE_EVENTS } from '../../api/event-types.js';
import { useLastEvents } from '../../api/use-last-events.js';
import { Badge } from '../../ui/badge.js';
import { Empty } from '../../ui/empty.js';
import { Facts } from '../../ui/facts.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { StateBadge } from '../../ui/status.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import { shortReason } from '../offline-reasons.js';
import { EventList } from '../events/event-list.js';
import { MessageCard } from '../messages/message-card.js';
import { Actions } from './actions.js';
import styles from './connection.module.css';
import { ClientMessages } from './client-messages.js';
import { SendForm } from './send-form.js';
import { Timeline } from './timeline.js';

/** Events that are kept in the page, newest first. */
const KEPT_EVENTS = 100;
const REREAD_MS = 300;

const TYPES = [...CONNECTION_EVENTS, ...MESSAGE_EVENTS];

export function Connection(): ReactNode {
  const { clientId } = useParams({ from: '/connections/$clientId' });
  // Nothing of one connection may stay in the view of another.
  return <OneConnection key={clientId} clientId={clientId} />;
}

function OneConnection({ clientId }: { clientId: string }): ReactNode {
  const { connector, can } = useAccess();
  const [sent, setSent] = useState<string>();
  const { data, ...query } = useQuery({
    queryKey: ['connection', clientId],
    queryFn: ({ signal }) => connector.getConnection(clientId, { signal }),
  });
  const { events, stream } = useLastEvents({
    types: TYPES,
    clientId,
    history: true,
    kept: KEPT_EVENTS,
    keptTypes: CONNECTION_EVENTS,
    queryKeys: [['connection', clientId], ['messages of', clientId], ['message']],
    refreshMs: REREAD_MS,
  });

  const failure = useFailure(query, data);
  if (data === undefined) return failure === null ? null : <Absent clientId={clientId} error={failure} />;
  return (
    <>
      <PageHead
        title={data.client_id}
        about={
          <span className={styles.about}>
            <StateBadge state={data.state} />
            {data.refused_until !== null && <Badge tone="bad">refused</Badge>}
            <Since connection={data} />
          </span>
        }
        stream={stream}
        actions={<Actions connection={data} />}
      />
      {failure !== null && <Failure error={failure} />}
      <div className={styles.columns}>
        <div className={styles.column}>
          {can('messages:write') && (
            <Panel title="Send a message">
              <SendForm clientId={clientId} onSent={setSent} />
              {sent !== undefined && can('messages:read') && <MessageCard messageId={sent} />}
            </Panel>
          )}
          {can('messages:read') && <ClientMessages clientId={clientId} held={data.held_messages} />}
        </div>
        <div className={styles.column}>
          <div className={styles.first}>
            <Panel title="What happened">
              <Timeline connection={data} events={events} />
            </Panel>
          </div>
          <Panel title="Facts">
            <Facts rows={factsOf(data)} />
          </Panel>
          {can('events:read') && (
            <Panel title="Events, the last hour and live" flush>
              {events.length === 0 ? (
                <Empty title="No event in the last hour">
                  <p>They appear here as they happen.</p>
                </Empty>
              ) : (
                <EventList events={events} />
              )}
            </Panel>
          )}
        </div>
      </div>
    </>
  );
}

function Since({
  connection: { state, connected_at: up, disconnected_at: down, offline_reason: reason },
}: {
  connection: ConnectionBody;
}): ReactNode {
  if (state === 'online')
    return (
      <span>
        since <Time at={up} both />
      </span>
    );
  return (
    <span>
      since <Time at={down} both />
      {reason !== null && ` (${shortReason(reason)})`}
    </span>
  );
}

function factsOf(connection: ConnectionBody): (readonly [string, ReactNode])[] {
  return [
    ['Type', connection.type],
    ['Account', connection.account ?? '–'],
    ['Last message', <Time key="last" at={connection.last_message_at} both />],
    ['Handshake', <code key="handshake">{connection.handshake_message_id}</code>],
    ['Shard', connection.shard],
    ...Object.entries(connection.facts).map(([name, value]) => [name, factText(value)] as const),
  ];
}

/** Texts as they are, lists of texts with commas, everything else as JSON. */
function factText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value.join(', ');
  return JSON.stringify(value);
}

function Absent({ clientId, error }: { clientId: string; error: Error }): ReactNode {
  if (!(error instanceof ProblemError) || error.status !== 404) return <Failure error={error} />;
  return (
    <Empty title={`${clientId} is not known`}>
      <p>It has never shaken hands, or it was forgotten.</p>
      <Link to="/connections">All connections</Link>
    </Empty>
  );
}
