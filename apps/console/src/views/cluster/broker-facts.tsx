import type { Cluster } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { brokerReach } from '../../api/broker-reach.js';
import { Facts } from '../../ui/facts.js';
import { Time } from '../../ui/time.js';
import { duration } from '../../ui/time-text.js';

/** What the ingesters found out about the broker. */
export function BrokerFacts({ cluster }: { cluster: Cluster }): ReactNode {
  const { broker } = cluster;
  if (broker === null) return <p>No ingester has checked it yet.</p>;
  return (
    <Facts
      rows={[
        ['Not reached by', <NotReachedBy key="not-reached" cluster={cluster} />],
        ['Checked', <Time key="checked" at={broker.checked_at} both />],
        ['Sessions end after', orNone(broker.session_expiry_seconds, duration)],
        ['Largest packet', orNone(broker.maximum_packet_size, (bytes) => `${bytes.toLocaleString()} bytes`)],
        ['Queue of a session', orNone(broker.queue_limit, (messages) => `${messages.toLocaleString()} messages`)],
        ['Highest QoS', broker.maximum_qos],
        ['Reports that nobody listens', yesNo(broker.no_subscriber_signal)],
        ['Absence can be proved', yesNo(broker.absence_provable)],
      ]}
    />
  );
}

/** Ingesters are those that use it most: without one, what dispatchers report says little. */
function NotReachedBy({ cluster }: { cluster: Cluster }): ReactNode {
  const { without } = brokerReach(cluster);
  if (without.length > 0) return <strong>{without.join(', ')}</strong>;
  return cluster.members.length === 0 ? <strong>not known: no ingester reports</strong> : 'none';
}

function orNone(value: number | null, text: (value: number) => string): string {
  return value === null ? 'no limit known' : text(value);
}

function yesNo(value: boolean | null): string {
  if (value === null) return 'not known';
  return value ? 'yes' : 'no';
}
