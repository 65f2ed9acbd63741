/** Lists, for all commands that show one: pages, limit, order, notes, and `--watch`. */
import { afterChanges, type Watched } from './changes.js';
import type { Context } from './context.js';
import { EXIT, UsageError } from './failures.js';
import type { Output } from './output.js';
import type { Cell, Column } from './table.js';

/** How many rows a table has without --limit. */
export const ROWS = 100;
/** Most rows of a page. */
const PAGE = 1000;
/** What a watched table leaves free on the terminal: its notes and the line of the cursor. */
const OTHER_LINES = 5;

export interface ListView<Item> {
  columns: readonly Column[];
  row: (item: Item, out: Output) => Cell[];
  /** People see the rows in the order of this id, unless there is `newestBy`. */
  id: (item: Item) => string;
  /** The time of a row: people see the newest rows first. The service lists them in another order, or shard by shard. */
  newestBy?: (item: Item) => string;
  /** Most rows of a page; 1,000 without it. */
  most?: number;
  page: (paging: { limit: number; cursor?: string }) => Promise<{ data: Item[]; next_cursor: string | null }>;
  watched: Watched;
}

export async function list<Item>(context: Context, view: ListView<Item>): Promise<number> {
  const { args, out } = context;
  const cursor = args.text('cursor');
  if (args.flag('watch')) {
    if (cursor !== undefined) throw new UsageError('give --watch or --cursor, not both');
    return watch(context, view);
  }
  const limit = args.count('limit') ?? (out.structured ? Infinity : ROWS);
  const rows: Item[] = [];
  let next: string | null = null;
  for await (const page of pages(view, limit, cursor)) {
    next = page.next_cursor;
    if (!out.structured) rows.push(...page.data);
    else for (const item of page.data) await out.object(item);
  }
  if (!out.structured) await out.table(view.columns, tableRows(rows, view, out));
  if (next !== null) await out.note(`There are more: add --cursor ${next}`);
  return EXIT.done;
}

/** Pages that have `limit` rows together, so that the cursor of the last one goes on right after them. */
async function* pages<Item>(
  view: ListView<Item>,
  limit: number,
  cursor: string | undefined,
): AsyncGenerator<{ data: Item[]; next_cursor: string | null }, void> {
  let left = limit;
  let next = cursor ?? null;
  do {
    const page = await view.page({ limit: Math.min(left, view.most ?? PAGE), ...(next !== null && { cursor: next }) });
    yield page;
    left -= page.data.length;
    next = page.next_cursor;
  } while (next !== null && left > 0);
}

function tableRows<Item>(items: readonly Item[], { id, newestBy, row }: ListView<Item>, out: Output): Cell[][] {
  const byId = (a: Item, b: Item): number => compare(id(a), id(b));
  const sorted =
    newestBy === undefined
      ? [...items].sort(byId)
      : [...items].sort((a, b) => compare(newestBy(b), newestBy(a)) || byId(b, a));
  return sorted.map((item) => row(item, out));
}

/** As `sort` of a shell in the C locale does. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

async function watch<Item>({ connector, args, out, untilInterrupted }: Context, view: ListView<Item>): Promise<number> {
  const limit = args.count('limit') ?? ROWS;
  const show = out.structured ? showChanged(view, out) : showAll(view, out);
  await afterChanges(connector, view.watched, untilInterrupted(), async () => {
    const rows: Item[] = [];
    let next: string | null = null;
    for await (const page of pages(view, limit, undefined)) {
      rows.push(...page.data);
      next = page.next_cursor;
    }
    await show(rows, next !== null);
  });
  return EXIT.done;
}

/** The whole table again. Without a terminal it is written only if it has changed. */
function showAll<Item>(view: ListView<Item>, out: Output): (items: Item[], hasMore: boolean) => Promise<void> {
  let shown = '';
  return async (items, hasMore) => {
    const lines = await out.tableLines(view.columns, tableRows(items, view, out));
    const visible = lines.slice(0, Math.max(2, out.height - OTHER_LINES));
    const hidden = lines.length - visible.length;
    const more = hidden === 0 ? [] : [`… and ${hidden} more`];
    if (hasMore) more.push('The service has more rows: --limit reads more.');
    const text = lines.join('\n');
    if (!out.onTerminal && text === shown) return;
    const before = out.onTerminal || shown === '' ? [] : [''];
    shown = text;
    const note = out.onTerminal
      ? [out.styled('dim', 'It is read again after each event about them. Ctrl-C ends it.')]
      : [];
    await out.screen([...before, ...visible, ...more, ...note]);
  };
}

/** For scripts: the rows that are new or have changed. */
function showChanged<Item>(view: ListView<Item>, out: Output): (items: Item[]) => Promise<void> {
  let before = new Map<string, string>();
  return async (items) => {
    const now = new Map<string, string>();
    for (const item of items) {
      const [id, text] = [view.id(item), JSON.stringify(item)];
      now.set(id, text);
      if (before.get(id) !== text) await out.object(item);
    }
    before = now;
  };
}
