/** What an error says. */
import { ProblemError } from '@cloud-connector/client';

/** Without the remedy of a problem, which is for programs that use the client. */
export function reasonOf(error: unknown): string {
  if (error instanceof ProblemError) return `${error.problem.title}: ${error.detail}`;
  return error instanceof Error ? error.message : String(error);
}
