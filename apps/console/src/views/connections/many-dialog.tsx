import type { ReactNode } from 'react';
import { BASE } from '../../api/base.js';
import { useAccess } from '../../api/access.js';
import { curlOf } from '../../api/curl.js';
import { useActOnMany, type NamedAct } from '../../api/use-act-on-many.js';
import { Button, type Tone } from '../../ui/button.js';
import { Copy } from '../../ui/curl.js';
import { Dialog } from '../../ui/dialog.js';
import { CodeBlock } from '../../ui/json-field.js';
import styles from './connections.module.css';

export interface ManyDialogProps {
  title: string;
  /** On the button that begins it. */
  label: string;
  tone?: Tone;
  /** Undefined as long as the fields are not valid. */
  acts: readonly NamedAct[] | undefined;
  onClose: () => void;
  children: ReactNode;
}

/** Commands that are shown; all are copied. */
const SHOWN = 3;

export function ManyDialog({ title, label, tone = 'accent', acts, onClose, children }: ManyDialogProps): ReactNode {
  const { hasKey } = useAccess();
  const { state, run } = useActOnMany();
  const commands = acts?.map(({ act }) => curlOf(act, BASE, hasKey)) ?? [];
  const more = commands.length - SHOWN;
  return (
    <Dialog
      title={state === undefined ? title : state.done < state.total ? `${label} …` : `${label}: done`}
      open
      onClose={onClose}
      closeLabel={state === undefined ? 'Not now' : 'Close'}
      actions={
        state === undefined && (
          <Button tone={tone} disabled={acts === undefined} onClick={() => acts && void run(acts)}>
            {label}
          </Button>
        )
      }
    >
      {state === undefined ? (
        <>
          {children}
          {commands.length > 0 && (
            <>
              <CodeBlock label="The same as curl commands">
                {commands.slice(0, SHOWN).join('\n')}
                {more > 0 && `\n# and ${more} more`}
              </CodeBlock>
              <div>
                <Copy text={commands.join('\n')} label="Copy all" />
              </div>
            </>
          )}
        </>
      ) : (
        <>
          <progress className={styles.progress} value={state.done} max={state.total} aria-label="Done" />
          <p role="status">
            {state.done} of {state.total} done
            {state.failures.length > 0 && `, ${state.failures.length} failed`}
          </p>
          <ul className={styles.failures}>
            {state.failures.map(({ name, reason }) => (
              <li key={name}>
                <strong>{name}</strong>: {reason}
              </li>
            ))}
          </ul>
        </>
      )}
    </Dialog>
  );
}
