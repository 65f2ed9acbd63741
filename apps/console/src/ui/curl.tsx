/** The `curl` that does what a button does. */
import { Popover } from '@base-ui/react/popover';
import { useState, type ReactNode } from 'react';
import { useAccess } from '../api/access.js';
import type { Act } from '../api/acts.js';
import { BASE } from '../api/base.js';
import { curlOf } from '../api/curl.js';
import { Button, buttonClass } from './button.js';
import styles from './curl.module.css';

/** The command with a button to copy it. */
export function Curl({ act }: { act: Act }): ReactNode {
  const { hasKey } = useAccess();
  const command = curlOf(act, BASE, hasKey);
  return (
    <div className={styles.curl}>
      <pre tabIndex={0} aria-label="The same as a curl command">
        {command}
      </pre>
      <Copy text={command} />
    </div>
  );
}

/** A small button that shows the command. */
export function CurlPopover({ act, label = 'curl' }: { act: Act; label?: string }): ReactNode {
  return (
    <Popover.Root>
      <Popover.Trigger className={buttonClass('quiet', true)} aria-label="Show the same as a curl command">
        {label}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={6} className={styles.positioner}>
          <Popover.Popup className={styles.popup}>
            <Popover.Title className={styles.title}>The same, from a shell</Popover.Title>
            <Curl act={act} />
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }): ReactNode {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  };
  return (
    <Button small onClick={() => void copy()} onBlur={() => setCopied(false)}>
      {copied ? 'Copied' : label}
    </Button>
  );
}
