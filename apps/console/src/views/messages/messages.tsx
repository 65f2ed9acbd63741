import type { ReactNode } from 'react';
import { PageHead } from '../../ui/page-head.js';

export function Messages(): ReactNode {
  return <PageHead title="Messages" />;
}
