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
  /** A value as text, for the axis. */
  format?: (value: number) => string;
}
