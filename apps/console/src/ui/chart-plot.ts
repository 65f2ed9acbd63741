import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { ChartProps } from './chart-props.js';
import { hourAndMinute } from './time-text.js';

interface Settings extends Pick<ChartProps, 'lines'> {
  height: number;
  format: (value: number) => string;
  /** Called with the place in the data below the pointer. */
  onPoint: (index: number | null) => void;
}

/** The values between two that are missing: no line goes through them, so they are drawn as points. */
function aloneIn({ data }: uPlot, line: number): number[] {
  const values = data[line] ?? [];
  const isMissing = (index: number): boolean => (values[index] ?? null) === null;
  return [...values.keys()].filter((at) => !isMissing(at) && isMissing(at - 1) && isMissing(at + 1));
}

/** Draws with the colours of the theme of the moment. */
export function plot(place: HTMLElement, { lines, height, format, onPoint }: Settings, data: uPlot.AlignedData): uPlot {
  const style = getComputedStyle(place);
  const colourOf = (name: string): string => {
    const probe = document.createElement('i');
    probe.style.color = `var(${name})`;
    place.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
  const [text, line] = [colourOf('--ink-2'), colourOf('--line')];
  const axis = {
    stroke: text,
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
    font: `12px ${style.fontFamily}`,
  };
  return new uPlot(
    {
      width: place.clientWidth,
      height,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)] },
      scales: { y: { range: (_chart, _min, max) => [0, Math.max(4, max * 1.1)] } },
      axes: [
        { ...axis, size: 32, space: 64, values: (_chart, seconds) => seconds.map(hourAndMinute) },
        { ...axis, size: 52, values: (_chart, values) => values.map(format) },
      ],
      series: [
        {},
        ...lines.map(({ label, colour }) => {
          const own = colourOf(colour);
          return {
            label,
            stroke: own,
            width: 2,
            points: { show: true, size: 4, width: 0, fill: own, filter: aloneIn },
          };
        }),
      ],
    },
    data,
    place,
  );
}
