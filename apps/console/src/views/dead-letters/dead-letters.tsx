import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function DeadLetters(): ReactNode {
  return <PageHead title="DeadLetters" />;
}
