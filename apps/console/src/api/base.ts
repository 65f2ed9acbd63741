/** The address of the gateway, with a slash at its end: the console lives at `console/` below it. */
export const BASE = new URL(import.meta.env.BASE_URL.replace(/console\/$/, ''), location.origin).href;
