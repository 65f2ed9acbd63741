/** A button for one action: it asks if that is wanted, shows the equal `curl`, and what became of it. */
import { useState, type ReactNode } from 'react';
import type { Act } from '../api/acts.js';
import { useAct } from '../api/use-act.js';
import { Button, type Tone } from './button.js';
import { Curl } from './curl.js';
import { Dialog } from './dialog.js';
import { Failure } from './failure.js';

export interface ActButtonProps<Answer> {
  label: string;
  /** A question, such as `Force off device-0001?`. */
  title: string;
  act: Act;
  tone?: Tone;
  disabled?: boolean;
  /** What it does, and fields to fill in. */
  children?: ReactNode;
  /** Called with the response; without it, the dialog closes. */
  onDone?: (answer: Answer) => void;
  /** Shown in place of the question once there is a response. */
  result?: (answer: Answer) => ReactNode;
}

export function ActButton<Answer = unknown>({
  label,
  title,
  act,
  tone = 'plain',
  disabled = false,
  children,
  onDone,
  result,
}: ActButtonProps<Answer>): ReactNode {
  const [open, setOpen] = useState(false);
  const { mutate, reset, isPending, error, data } = useAct<Answer>();
  const shown = result !== undefined && data !== undefined ? result(data) : undefined;
  const close = (): void => {
    setOpen(false);
    reset();
  };
  const run = (): void =>
    mutate(act, {
      onSuccess: (answer) => {
        onDone?.(answer);
        if (result === undefined) close();
      },
    });
  return (
    <>
      <Button tone={tone} small disabled={disabled} onClick={() => setOpen(true)}>
        {label}
      </Button>
      <Dialog
        title={title}
        open={open}
        onClose={close}
        closeLabel={shown === undefined ? 'Not now' : 'Close'}
        actions={
          shown === undefined && (
            <Button tone={tone === 'bad' ? 'bad' : 'accent'} disabled={isPending} onClick={run}>
              {label}
            </Button>
          )
        }
      >
        {shown ?? (
          <>
            {children}
            <Curl act={act} />
          </>
        )}
        {error !== null && <Failure error={error} advice="It is not known whether it was done. You can try again." />}
      </Dialog>
    </>
  );
}
