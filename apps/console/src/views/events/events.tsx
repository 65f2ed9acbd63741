import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function Events(): ReactNode {
  return <PageHead title="Events" />;
}
