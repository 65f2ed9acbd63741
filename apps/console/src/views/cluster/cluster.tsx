import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function ClusterView(): ReactNode {
  return <PageHead title="ClusterView" />;
}
