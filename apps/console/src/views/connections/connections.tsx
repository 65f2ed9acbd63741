import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function Connections(): ReactNode {
  return <PageHead title="Connections" />;
}
