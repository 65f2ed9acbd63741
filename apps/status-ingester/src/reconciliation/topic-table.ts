/**
 * What a sweep knows of each topic, as columns of numbers: a million topics take 31 MiB outside the heap. A map of their texts takes
 * five times as much inside it, and the heap grows to a multiple of that before it is collected.
 *
 * Of the topic itself it keeps a digest of 64 bits. Two of a million topics have the same one in one of 37 million sweeps. A
 * message of either is then passed on each time, as a new text of the same topic, and one may count as present that is absent.
 */
import { TopicDigest } from './topic-digest.js';

/** A power of two, so that a digest becomes a row by a mask. */
const FIRST_ROWS = 1024;
/** The table grows if a larger part of its rows is used. */
const MOST_FULL = 0.75;

/** A row that no topic uses has 0 in each column. */
interface Columns {
  /** Digest of the text that was passed on last. */
  text: Uint32Array;
  /** How many passes brought the topic. */
  passes: Uint8Array;
  /** The last pass that brought it. */
  lastPass: Uint8Array;
  /** Whether something was published on it since a pass brought it last. */
  isChanged: Uint8Array;
  /** Whether a topic uses the row. */
  isUsed: Uint8Array;
  /** The halves of the topic's digest. */
  first: Int32Array;
  second: Int32Array;
}

export class TopicTable {
  columns: Columns = columnsOf(FIRST_ROWS);
  private rows = FIRST_ROWS;
  private used = 0;
  private readonly digest = new TopicDigest();
  private lastTopic: string | undefined;

  /** @returns the row of the topic, which is valid until one is added; -1 if it has none */
  find(topic: string): number {
    const row = this.rowFor(topic);
    return this.columns.isUsed[row] === 0 ? -1 : row;
  }

  /** @returns the row of the topic, a new one if it has none */
  add(topic: string): number {
    const row = this.rowFor(topic);
    if (this.columns.isUsed[row] !== 0) return row;
    if (++this.used > this.rows * MOST_FULL) {
      this.grow();
      this.used--;
      return this.add(topic);
    }
    const { isUsed, first, second } = this.columns;
    isUsed[row] = 1;
    first[row] = this.digest.first;
    second[row] = this.digest.second;
    return row;
  }

  /** @returns the row of the topic, or the free one that it would use */
  private rowFor(topic: string): number {
    // Callers look for a topic several times in a row.
    if (topic !== this.lastTopic) this.digest.compute(topic);
    this.lastTopic = topic;
    return rowOf(this.columns, this.digest.first, this.digest.second);
  }

  private grow(): void {
    const { columns: old, rows } = this;
    const grown = columnsOf(rows * 2);
    for (let row = 0; row < rows; row++) {
      if (old.isUsed[row] === 0) continue;
      const to = rowOf(grown, old.first[row] ?? 0, old.second[row] ?? 0);
      for (const name of NAMES) grown[name][to] = old[name][row] ?? 0;
    }
    this.columns = grown;
    this.rows = rows * 2;
  }
}

function columnsOf(rows: number): Columns {
  return {
    text: new Uint32Array(rows),
    passes: new Uint8Array(rows),
    lastPass: new Uint8Array(rows),
    isChanged: new Uint8Array(rows),
    isUsed: new Uint8Array(rows),
    first: new Int32Array(rows),
    second: new Int32Array(rows),
  };
}

const NAMES = Object.keys(columnsOf(0)) as (keyof Columns)[];

/** @returns the row with this digest, or else the free one that it would use */
function rowOf({ isUsed, first, second }: Columns, ofFirst: number, ofSecond: number): number {
  const last = isUsed.length - 1;
  let row = ofFirst & last;
  while (isUsed[row] !== 0 && (first[row] !== ofFirst || second[row] !== ofSecond)) row = (row + 1) & last;
  return row;
}
