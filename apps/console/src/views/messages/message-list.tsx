import type { Message } from '@cloud-connector/client';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { StatusBadge } from '../../ui/status.js';
import { Time } from '../../ui/time.js';
import styles from './messages.module.css';

/** A short list of messages, newest first. */
export function MessageList({ messages }: { messages: readonly Message[] }): ReactNode {
  return (
    <ul className={styles.list}>
      {messages.map((message) => (
        <li key={message.message_id}>
          <Link to="/messages/$messageId" params={{ messageId: message.message_id }} className={styles.directive}>
            {message.directive}
          </Link>
          <StatusBadge status={message.status} />
          <span className={styles.when}>
            <Time at={message.created_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}
