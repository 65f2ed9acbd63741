export interface Line {
  label: string;
  /** A custom property with a colour, such as `--accent`. */
  colour: string;
  values: readonly (number | null)[];
}

export interface ChartProps {
  label: string;
  /** Epoch seconds, rising. */
  times: readonly number[];
  lines: readonly Line[];
  height?: number;
  /** A value as text. */
  format?: (value: number) => string;
  /** The value of a line that is shown beside its name while no minute is pointed at. */
  summary?: (values: readonly (number | null)[]) => number | null;
}
