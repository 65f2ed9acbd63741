/** A live tail of events. */
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useMemo, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { EVENT_TYPES, scopeOf } from '../../api/event-types.js';
import { useEvents } from '../../api/use-events.js';
import { Button } from '../../ui/button.js';
import { ClientFilter } from '../../ui/client-filter.js';
import { CurlPopover } from '../../ui/curl.js';
import { Empty } from '../../ui/empty.js';
import { Choice, FilterBar } from '../../ui/fields.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { EventList } from './event-list.js';
import styles from './events.module.css';
import { wantedTypes, type EventsSearch } from './search.js';
import { useTail } from './use-tail.js';

export function Events(): ReactNode {
  const search = useSearch({ from: '/events' });
  const navigate = useNavigate({ from: '/events' });
  const { can } = useAccess();
  const types = useMemo(() => wantedTypes(search), [search]);
  const { shown, behind, dropped, paused, add, pause, resume, clear } = useTail();
  // Of one client, the events of the last hour come first. Those of all would be too many.
  const history = search.client !== undefined;
  const stream = useEvents({ types, clientId: search.client, history, onEvent: add });

  // With the stream of the last filter, its events go too.
  useEffect(clear, [clear, types, search.client]);

  const setSearch = (changed: EventsSearch): void =>
    void navigate({ search: (before) => ({ ...before, ...changed }), replace: true });
  const query = { types: types.join(','), ...(search.client !== undefined && { client_id: search.client }) };
  const offered = EVENT_TYPES.filter((type) => can(scopeOf(type)));
  return (
    <>
      <PageHead
        title="Events"
        stream={stream}
        actions={
          <>
            <CurlPopover act={{ method: 'GET', url: '/v1/events', query }} />
            {paused ? (
              <Button tone="accent" onClick={resume}>
                Resume{behind.length > 0 && ` (${behind.length.toLocaleString()} new)`}
              </Button>
            ) : (
              <Button onClick={pause}>Pause</Button>
            )}
          </>
        }
      />
      <FilterBar>
        <Choice
          bare
          label="Type"
          value={types.length === 1 ? (types[0] ?? '') : ''}
          options={[['', 'All types'], ...offered.map((type) => [type, type] as const)]}
          onChange={(value) => setSearch({ types: value === '' ? undefined : value })}
        />
        <ClientFilter value={search.client ?? ''} onChange={(client) => setSearch({ client })} />
      </FilterBar>
      {dropped > 0 && (
        <p role="status" className={styles.note}>
          {dropped.toLocaleString()} events came during the pause and are not kept.
        </p>
      )}
      <Panel flush>
        {shown.length === 0 ? (
          <Empty title={paused ? 'Paused' : 'Waiting for events'}>
            <p>
              Events appear here as they happen: connect a device, or send it a message. With a client id, those of the
              last hour are here too.
            </p>
          </Empty>
        ) : (
          <EventList events={shown} withClients tall />
        )}
      </Panel>
    </>
  );
}
