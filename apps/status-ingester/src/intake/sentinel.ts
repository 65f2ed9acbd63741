/**
 * Topic of the service's own, outside of every client's topics. A retained message on it is the last one that a read of
 * retained messages brings, and the lanes are subscribed to it for their markers.
 */
export const SENTINEL = 'cloud-connector/sentinel';
