/** Lines over time. The library is loaded when the first chart is shown. */
import { useEffect, useRef, type ReactNode } from 'react';
import type uPlot from 'uplot';
import type { ChartProps } from './chart-props.js';
import styles from './chart.module.css';

export function Chart({ label, times, lines, height = 180, format = String }: ChartProps): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const data = [[...times], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData;
  const latest = useRef(data);
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
      chart.current = plot(place, { lines, height, format }, latest.current);
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

  return (
    <figure className={styles.figure}>
      <div ref={box} role="img" aria-label={label} className={styles.box} style={{ height }} />
      <figcaption className={styles.legend}>
        {lines.map(({ label: name, colour }) => (
          <span key={name}>
            <i style={{ background: `var(${colour})` }} />
            {name}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
