import { Dialog as Base } from '@base-ui/react/dialog';
import type { ReactNode } from 'react';
import { Button } from './button.js';
import styles from './dialog.module.css';

export interface DialogProps {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  /** The buttons beside `Close`. */
  actions?: ReactNode;
  closeLabel?: string;
}

export function Dialog({ title, open, onClose, children, actions, closeLabel = 'Close' }: DialogProps): ReactNode {
  return (
    <Base.Root open={open} onOpenChange={(isOpen) => !isOpen && onClose()}>
      <Base.Portal>
        <Base.Backdrop className={styles.backdrop} />
        <Base.Popup className={styles.popup}>
          <Base.Title className={styles.title}>{title}</Base.Title>
          <div className={styles.body}>{children}</div>
          <footer className={styles.foot}>
            <Button onClick={onClose}>{closeLabel}</Button>
            {actions}
          </footer>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
