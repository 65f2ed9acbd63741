import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function Overview(): ReactNode {
  return <PageHead title="Overview" />;
}
