import type { Sweep } from '@cloud-connector/client';

/** What a sweep corrected, in words. */
export function correctionsText({ corrections: { online, updated, offline, reason } }: Sweep): string {
  const parts: [number, string][] = [
    [online, 'came online'],
    [offline, 'went offline'],
    [updated, 'had another handshake'],
    [reason, 'had another reason'],
  ];
  const done = parts.filter(([number]) => number > 0).map(([number, what]) => `${number.toLocaleString()} ${what}`);
  return done.length === 0 ? 'nothing' : done.join(', ');
}
