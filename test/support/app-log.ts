/** What an app has printed: each line has to be one JSON object. */
import { readFileSync } from 'node:fs';

export interface AppLine {
  level: string;
  time: string;
  app: string;
  message: string;
  err?: { type: string; message: string };
  [member: string]: unknown;
}

/** @throws Error for a line that is none of an app's */
export function readAppLog(path: string): AppLine[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => {
      const line = parsed(text);
      for (const member of ['level', 'time', 'app', 'message'] as const) {
        if (typeof line[member] !== 'string') throw new Error(`${path}: no ${member}: ${text}`);
      }
      if (new Date(line.time).toISOString() !== line.time) throw new Error(`${path}: no ISO time: ${text}`);
      if (line.err !== undefined && (typeof line.err !== 'object' || typeof line.err.message !== 'string')) {
        throw new Error(`${path}: err is no object: ${text}`);
      }
      return line;
    });
}

function parsed(text: string): AppLine {
  try {
    return JSON.parse(text) as AppLine;
  } catch (error) {
    throw new Error(`a line is no JSON object: ${text}`, { cause: error });
  }
}
