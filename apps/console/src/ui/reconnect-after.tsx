import type { ReactNode } from 'react';
import { Choice } from './fields.js';

const TIMES = [
  ['PT1M', '1 minute'],
  ['PT5M', '5 minutes'],
  ['PT1H', '1 hour'],
  ['P1D', '1 day'],
  ['never', 'somebody lifts the refusal'],
] as const;

export const RECONNECT_AFTER = 'PT5M';

/** How long the handshakes of a client are refused that is forced off, as `reconnect_after` of the API. */
export function ReconnectAfter({ value, onChange }: { value: string; onChange: (value: string) => void }): ReactNode {
  return <Choice label="It may come back after" value={value} options={TIMES} onChange={onChange} />;
}
