import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function MessageView(): ReactNode {
  return <PageHead title="Message" />;
}
