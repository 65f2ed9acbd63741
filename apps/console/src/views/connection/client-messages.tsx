import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useFailure } from '../../api/use-state-of-service.js';
import { Empty } from '../../ui/empty.js';
import { Panel } from '../../ui/panel.js';
import { Failure } from '../../ui/failure.js';
import { MessageList } from '../messages/message-list.js';

const SHOWN = 20;

/** The newest messages to a client. */
export function ClientMessages({ clientId, held }: { clientId: string; held: number }): ReactNode {
  const { connector } = useAccess();
  const { data, ...query } = useQuery({
    queryKey: ['messages of', clientId],
    queryFn: ({ signal }) => connector.listMessages(clientId, { limit: SHOWN }, { signal }),
  });
  const failure = useFailure(query, data);
  return (
    <Panel
      title={held > 0 ? `Messages (${held} held)` : 'Messages'}
      flush
      actions={
        <Link to="/messages" search={{ client: clientId }}>
          All of them
        </Link>
      }
    >
      {failure !== null && <Failure error={failure} />}
      {data?.data.length === 0 && (
        <Empty title="No message was sent to it yet">
          <p>Send one with the form above.</p>
        </Empty>
      )}
      {data !== undefined && data.data.length > 0 && <MessageList messages={data.data} />}
    </Panel>
  );
}
