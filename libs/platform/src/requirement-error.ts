/**
 * A server lacks what the app cannot do without, so the app does not start. The message names the cause and the remedy, and
 * is all that the log shows.
 */
export class RequirementError extends Error {
  override readonly name = 'RequirementError';
}
