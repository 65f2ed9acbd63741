import { hasEnded } from '@cloud-connector/client';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useQuery } from '@tanstack/react-query';
import { useAccess } from '../../api/access.js';
import { useEvents } from '../../api/use-events.js';
import { Facts } from '../../ui/facts.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import { MessageCard } from './message-card.js';

/** One message, live. */
export function MessageView(): ReactNode {
  const { messageId } = useParams({ from: '/messages/$messageId' });
  const { connector } = useAccess();
  const queries = useQueryClient();
  const queryKey = ['message', messageId];
  const { data } = useQuery({ queryKey, queryFn: ({ signal }) => connector.readMessage(messageId, { signal }) });
  const stream = useEvents({
    types: ['message.status', 'message.progress'],
    clientId: data?.client_id,
    enabled: data !== undefined,
    onEvent: (event) => {
      if (event.type === 'gap' || ('message_id' in event && event.message_id === messageId)) {
        void queries.invalidateQueries({ queryKey });
      }
    },
  });
  return (
    <>
      <PageHead title="Message" about={<code>{messageId}</code>} stream={stream} />
      {data !== undefined && (
        <Panel>
          <Facts
            rows={[
              [
                'Client',
                <Link key="client" to="/connections/$clientId" params={{ clientId: data.client_id }}>
                  {data.client_id}
                </Link>,
              ],
              ['Directive', <code key="directive">{data.directive}</code>],
              ['Accepted', <Time key="created" at={data.created_at} both />],
              ...(hasEnded(data) ? [] : [['Expires', <Time key="expires" at={data.expires_at} both />] as const]),
            ]}
          />
        </Panel>
      )}
      <Panel>
        <MessageCard messageId={messageId} />
      </Panel>
    </>
  );
}
