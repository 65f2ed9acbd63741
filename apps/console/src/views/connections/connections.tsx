/** Everybody who is or was connected: find them, and act on many at once. */
import type { Connection } from '@cloud-connector/client';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { CONNECTION_EVENTS } from '../../api/event-types.js';
import { useEvents } from '../../api/use-events.js';
import { Button } from '../../ui/button.js';
import { CurlPopover } from '../../ui/curl.js';
import { DataTable, type Column } from '../../ui/data-table.js';
import { Empty } from '../../ui/empty.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { StateBadge } from '../../ui/status.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import { Badge } from '../../ui/badge.js';
import styles from './connections.module.css';
import { shortReason } from '../offline-reasons.js';
import { Filters } from './filters.js';
import { toQuery, type ConnectionsSearch } from './search.js';
import { SelectionBar } from './selection-bar.js';
import { useConnections } from './use-connections.js';

const NO_FILTER: ConnectionsSearch = {};

export function Connections(): ReactNode {
  const search = useSearch({ from: '/connections' });
  const navigate = useNavigate({ from: '/connections' });
  const { can } = useAccess();
  const query = useMemo(() => toQuery(search), [search]);
  const { rows, error, isLoading, hasMore, loadMore, apply } = useConnections(query);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const stream = useEvents({
    types: CONNECTION_EVENTS,
    onEvent: apply,
  });

  const setSearch = useCallback(
    (changed: ConnectionsSearch) => void navigate({ search: (before) => ({ ...before, ...changed }), replace: true }),
    [navigate],
  );
  const toggle = useCallback((clientId: string) => {
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(clientId)) after.add(clientId);
      return after;
    });
  }, []);

  const canAct = can('connections:manage') || can('messages:write');
  const isFiltered = Object.values(search).some((value) => value !== undefined);
  const columns = useMemo((): Column<Connection>[] => {
    const allSelected = rows.length > 0 && rows.every(({ client_id: id }) => selected.has(id));
    const select: Column<Connection> = {
      id: 'select',
      width: '1.25rem',
      head: (
        <input
          type="checkbox"
          aria-label="Select all that are loaded"
          checked={allSelected}
          onChange={() => setSelected(allSelected ? new Set() : new Set(rows.map(({ client_id: id }) => id)))}
        />
      ),
      cell: ({ client_id: id }) => (
        <input type="checkbox" aria-label={`Select ${id}`} checked={selected.has(id)} onChange={() => toggle(id)} />
      ),
    };
    return canAct ? [select, ...COLUMNS] : COLUMNS;
  }, [rows, selected, canAct, toggle]);

  return (
    <>
      <PageHead
        title="Connections"
        stream={stream}
        actions={<CurlPopover act={{ method: 'GET', url: '/v1/connections', query }} />}
      />
      <Filters search={search} onChange={setSearch} />
      {error !== null && <Failure error={error} />}
      <Panel flush>
        <DataTable
          label="Connections"
          columns={columns}
          rows={rows}
          keyOf={({ client_id: id }) => id}
          onEnd={loadMore}
          below={secondLine}
          foot={footOf(rows.length, isLoading, hasMore)}
          empty={
            !isLoading &&
            error === null && <Nobody isFiltered={isFiltered} onClear={() => void navigate({ search: NO_FILTER })} />
          }
        />
      </Panel>
      {selected.size > 0 && <SelectionBar clientIds={[...selected]} onClear={() => setSelected(new Set())} />}
    </>
  );
}

const COLUMNS: Column<Connection>[] = [
  {
    id: 'client_id',
    head: 'Client',
    width: 'minmax(0, 1.5fr)',
    cell: ({ client_id: id }) => (
      <Link to="/connections/$clientId" params={{ clientId: id }}>
        {id}
      </Link>
    ),
  },
  {
    id: 'state',
    head: 'State',
    width: '10rem',
    narrow: '5.5rem',
    cell: ({ state, refused_until: refused }) => (
      <>
        <StateBadge state={state} />
        {refused !== null && (
          <span className={styles.wide}>
            {' '}
            <Badge tone="bad">refused</Badge>
          </span>
        )}
      </>
    ),
  },
  {
    id: 'since',
    head: 'Since',
    width: 'minmax(5.5rem, 1fr)',
    cell: ({ state, connected_at: up, disconnected_at: down, offline_reason: reason }) => (
      <>
        <Time at={state === 'online' ? up : down} />
        {reason !== null && <span className={styles.wide}>, {shortReason(reason)}</span>}
      </>
    ),
  },
  { id: 'type', head: 'Type', width: '4rem', wide: true, cell: ({ type }) => type },
  {
    id: 'fqdn',
    head: 'Name',
    width: 'minmax(0, 1.5fr)',
    wide: true,
    cell: ({ facts }) => <FactText value={facts['fqdn']} />,
  },
  { id: 'account', head: 'Account', width: 'minmax(0, 1fr)', wide: true, cell: ({ account }) => account ?? '–' },
  {
    id: 'marks',
    head: 'Held',
    width: '3rem',
    wide: true,
    end: true,
    cell: ({ held_messages: held }) => (held > 0 ? held.toLocaleString() : '–'),
  },
];

/** What a narrow screen shows below the client. */
function secondLine({
  facts,
  offline_reason: reason,
  refused_until: refused,
  held_messages: held,
}: Connection): ReactNode {
  const name = facts['fqdn'];
  const parts = [
    reason !== null && shortReason(reason),
    refused !== null && 'refused',
    held > 0 && `${held} held`,
    typeof name === 'string' && name,
  ];
  return parts.filter(Boolean).join(' · ');
}

function FactText({ value }: { value: unknown }): ReactNode {
  if (value === undefined || value === null) return '–';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function footOf(count: number, isLoading: boolean, hasMore: boolean): ReactNode {
  if (isLoading) return 'Loading …';
  if (count === 0) return undefined;
  return hasMore ? `${count.toLocaleString()} loaded; more come as you scroll` : `${count.toLocaleString()} in all`;
}

function Nobody({ isFiltered, onClear }: { isFiltered: boolean; onClear: () => void }): ReactNode {
  if (isFiltered) {
    return (
      <Empty title="Nobody matches these filters">
        <Button onClick={onClear}>Clear the filters</Button>
      </Empty>
    );
  }
  return (
    <Empty title="Nobody has connected yet">
      <p>
        A device connects to the MQTT broker and publishes its handshake. <code>node examples/device/device.mjs</code>{' '}
        is one that you can read.
      </p>
    </Empty>
  );
}
