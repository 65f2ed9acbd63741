/** The types of events, what each is about, and who may read them. */
import type { EventType } from '@cloud-connector/client';
import type { Scope } from './access.js';

type Subject = 'connection' | 'message' | 'cluster' | 'dead letter';

/** Each type, in the order in which they are offered. */
const SUBJECTS: Record<EventType, Subject> = {
  'connection.online': 'connection',
  'connection.offline': 'connection',
  'connection.updated': 'connection',
  'connection.refused': 'connection',
  'message.status': 'message',
  'message.progress': 'message',
  'message.unmatched_error': 'message',
  'message.unmatched_response': 'message',
  'client.message': 'message',
  'shard.moved': 'cluster',
  'sweep.started': 'cluster',
  'sweep.ended': 'cluster',
  'member.joined': 'cluster',
  'member.left': 'cluster',
  'dead_letter.added': 'dead letter',
};

export const EVENT_TYPES = Object.keys(SUBJECTS) as readonly EventType[];

const about = (subject: Subject): readonly EventType[] => EVENT_TYPES.filter((type) => SUBJECTS[type] === subject);

export const CONNECTION_EVENTS = about('connection');
export const MESSAGE_EVENTS = about('message');
export const CLUSTER_EVENTS = about('cluster');

/** What a caller needs for events of a type, besides `events:read`. */
export function scopeOf(type: EventType): Scope {
  if (type === 'client.message') return 'messages:read';
  return /^(member|dead_letter)\./.test(type) ? 'cluster:read' : 'events:read';
}
