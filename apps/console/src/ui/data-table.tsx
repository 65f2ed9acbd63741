/** A list of any length: only the rows in sight are in the page, and the next ones are asked for near the end. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useEffect, useRef, useSyncExternalStore, type CSSProperties, type ReactNode } from 'react';
import styles from './data-table.module.css';

export interface Column<Row> {
  id: string;
  head: ReactNode;
  /** As in `grid-template-columns`, such as `2fr` or `8rem`. */
  width: string;
  /** The width on narrow screens, if it differs. */
  narrow?: string;
  cell: (row: Row) => ReactNode;
  /** Left out on narrow screens. */
  wide?: boolean;
  end?: boolean;
}

export interface DataTableProps<Row> {
  label: string;
  /** The same object as before if nothing has changed: rows that stay in sight are not drawn again then. */
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** Called near the end of the rows. */
  onEnd?: () => void;
  /** A second line of each row, on narrow screens. */
  below?: (row: Row) => ReactNode;
  /** Below the rows, such as `Loading …`. */
  foot?: ReactNode;
  /** Shown if there are no rows. */
  empty: ReactNode;
}

const ROW_PX = 40;
/** With a second line. */
const TALL_ROW_PX = 64;
/** Rows from the end at which the next page is asked for. */
const NEAR_END = 100;
/** Rows above and below those in sight: the browser may scroll that far before the next ones are drawn. */
const OVERSCAN = 6;

export function DataTable<Row>({
  label,
  columns,
  rows,
  keyOf,
  onEnd,
  below,
  foot,
  empty,
}: DataTableProps<Row>): ReactNode {
  const scroller = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow();
  const secondLine = isNarrow ? below : undefined;
  const rowPx = secondLine === undefined ? ROW_PX : TALL_ROW_PX;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    overscan: OVERSCAN,
  });
  useEffect(() => virtual.measure(), [virtual, rowPx]);
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (last >= rows.length - NEAR_END) onEnd?.();
  }, [last, rows.length, onEnd]);

  const wide = columns.map(({ width }) => width).join(' ');
  const narrow = columns.filter((column) => column.wide !== true);
  const vars = {
    '--wide': wide,
    '--narrow': narrow.map((column) => column.narrow ?? column.width).join(' '),
  } as CSSProperties;

  return (
    <div ref={scroller} className={styles.scroller} tabIndex={0} role="region" aria-label={label}>
      <div role="table" aria-label={label} aria-rowcount={rows.length + 1} style={vars}>
        <div role="rowgroup" className={styles.head}>
          <div role="row" aria-rowindex={1} className={styles.row}>
            {columns.map((column) => (
              <div key={column.id} role="columnheader" className={cellClass(column)}>
                {column.head}
              </div>
            ))}
          </div>
        </div>
        <div role="rowgroup" className={styles.rows} style={{ height: virtual.getTotalSize() }}>
          {items.map(({ index, start }) => {
            const row = rows[index];
            if (row === undefined) return null;
            const place = { index, start, height: rowPx };
            return <TableRow key={keyOf(row)} row={row} {...place} columns={columns} below={secondLine} />;
          })}
        </div>
      </div>
      {rows.length === 0 && empty}
      {foot !== undefined && <div className={styles.foot}>{foot}</div>}
    </div>
  );
}

const NARROW = window.matchMedia('(width < 60rem)');

function useIsNarrow(): boolean {
  return useSyncExternalStore(
    (changed) => {
      NARROW.addEventListener('change', changed);
      return () => NARROW.removeEventListener('change', changed);
    },
    () => NARROW.matches,
  );
}

interface RowProps<Row> {
  row: Row;
  index: number;
  start: number;
  height: number;
  columns: readonly Column<Row>[];
  below: ((row: Row) => ReactNode) | undefined;
}

/** To draw a row takes longer than all else when a list is scrolled, so each is drawn once. */
const TableRow = memo(function TableRow<Row>({ row, index, start, height, columns, below }: RowProps<Row>): ReactNode {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={`${styles.row} ${styles.item}`}
      style={{ transform: `translateY(${start}px)`, height }}
    >
      {columns.map((column) => (
        <div key={column.id} role="cell" className={cellClass(column)}>
          {column.cell(row)}
        </div>
      ))}
      {below !== undefined && <div className={styles.below}>{below(row)}</div>}
    </div>
  );
}) as <Row>(props: RowProps<Row>) => ReactNode;

function cellClass<Row>({ wide, end }: Column<Row>): string {
  return `${styles.cell} ${wide === true ? styles.wide : ''} ${end === true ? styles.end : ''}`;
}
