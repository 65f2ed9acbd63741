import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function Connection(): ReactNode {
  return <PageHead title="Connection" />;
}
