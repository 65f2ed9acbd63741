import { Button as Base } from '@base-ui/react/button';
import type { ComponentProps, ReactNode } from 'react';
import styles from './button.module.css';

export type Tone = 'plain' | 'accent' | 'bad' | 'quiet';

export interface ButtonProps extends Omit<ComponentProps<typeof Base>, 'className'> {
  tone?: Tone;
  small?: boolean;
}

export function Button({ tone = 'plain', small = false, type = 'button', ...rest }: ButtonProps): ReactNode {
  return <Base type={type} className={buttonClass(tone, small)} {...rest} />;
}

/** The look of a button, for triggers and links. */
export function buttonClass(tone: Tone = 'plain', small = false): string {
  return [styles.button, styles[tone], small && styles.small].filter(Boolean).join(' ');
}
