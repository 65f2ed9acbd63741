/** Lines over time. The library is loaded when the first chart is shown. */
import { useEffect, useRef, useState, type ReactNode } from 'react';
import type uPlot from 'uplot';
import type { ChartProps } from './chart-props.js';
import { hourAndMinute } from './time-text.js';
import styles from './chart.module.css';

export function Chart({ label, times, lines, height = 180, format = String, summary }: ChartProps): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const data = [[...times], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData;
  const latest = useRef(data);
  const [point, setPoint] = useState<number | null>(null);
  const names = lines.map(({ label: name, colour }) => `${name} ${colour}`).join(',');

  useEffect(() => {
    latest.current = data;
    chart.current?.setData(data);
  });

  useEffect(() => {
    const place = box.current;
    if (place === null) return;
    let gone = false;
    const resize = new ResizeObserver(() => chart.current?.setSize({ width: place.clientWidth, height }));
    void import('./chart-plot.js').then(({ plot }) => {
      if (gone) return;
      chart.current = plot(place, { lines, height, format, onPoint: setPoint }, latest.current);
      resize.observe(place);
    });
    return () => {
      gone = true;
      resize.disconnect();
      chart.current?.destroy();
      chart.current = undefined;
    };
    // The lines are named by what they look like; their values come with `setData`.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [names, height]);

  const textOf = (values: readonly (number | null)[]): string => {
    const value = point === null ? summary?.(values) : values[point];
    if (value === undefined) return '';
    return value === null ? '–' : format(value);
  };
  return (
    <figure className={styles.figure}>
      <div ref={box} role="img" aria-label={label} className={styles.box} style={{ height }} />
      <figcaption className={styles.legend}>
        {lines.map(({ label: name, colour, values }) => (
          <span key={name}>
            <i style={{ background: `var(${colour})` }} />
            {name} {textOf(values)}
          </span>
        ))}
        <span>{point === null ? '' : `at ${hourAndMinute(times[point] ?? 0)}`}</span>
      </figcaption>
    </figure>
  );
}
