import type { ConnectorEvent } from '@cloud-connector/client';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { clockTime, exactTime } from '../../ui/time-text.js';
import { detailsOf } from './event-text.js';
import styles from './events.module.css';

export interface EventListProps {
  events: readonly ConnectorEvent[];
  /** The clients are shown, with links to them. */
  withClients?: boolean;
  tall?: boolean;
}

/** Events, in the order that they are given. */
export function EventList({ events, withClients = false, tall = false }: EventListProps): ReactNode {
  return (
    <ol className={tall ? `${styles.list} ${styles.tall}` : styles.list} tabIndex={0} aria-label="Events">
      {events.map((event) => (
        <li key={event.type === 'gap' ? `${event.at} ${event.shard}` : event.event_id}>
          <time dateTime={event.at} title={exactTime(event.at)}>
            {clockTime(event.at)}
          </time>
          <code>{event.type}</code>
          {withClients && 'client_id' in event && (
            <Link to="/connections/$clientId" params={{ clientId: event.client_id }}>
              {event.client_id}
            </Link>
          )}
          <span>{detailsOf(event)}</span>
        </li>
      ))}
    </ol>
  );
}
