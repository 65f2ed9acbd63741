import type { ConnectorEvent } from '@cloud-connector/client';

/** Members that each event has, or that are shown beside its details. */
const COMMON = new Set(['type', 'event_id', 'id', 'at', 'shard', 'client_id']);

/** What an event says beyond its type, its time and its client. */
export function detailsOf(event: ConnectorEvent): string {
  const { message_id: messageId, ...others } = event as ConnectorEvent & { message_id?: string };
  return Object.entries({ ...others, ...(messageId !== undefined && { message: messageId }) })
    .filter(([name, value]) => !COMMON.has(name) && value !== undefined && value !== null)
    .map(([name, value]) => `${name.replaceAll('_', ' ')} ${textOf(value)}`)
    .join(' · ');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
