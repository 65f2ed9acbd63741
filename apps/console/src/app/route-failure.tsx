import { Link, type ErrorComponentProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { Empty } from '../ui/empty.js';
import { Failure } from '../ui/failure.js';

/** A view that failed: often a part of it could not be loaded after the gateway had got a newer console. */
export function RouteFailure({ error }: ErrorComponentProps): ReactNode {
  return (
    <>
      <Failure error={error instanceof Error ? error : new Error(String(error))} />
      <p>
        <a href="">Load this page again</a>
      </p>
    </>
  );
}

export function NotFound(): ReactNode {
  return (
    <Empty title="There is no such page">
      <Link to="/">Go to the overview</Link>
    </Empty>
  );
}
