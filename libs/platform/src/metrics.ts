/** Prometheus metrics. Each metric is declared beside the code that it measures; this file sets the names and exposes them. */
import { Controller, Get, Header } from '@nestjs/common';
import { Counter, Gauge, Histogram, collectDefaultMetrics, register } from 'prom-client';
import { RouteAccess } from './route-access.js';

const PREFIX = 'cloud_connector_';

/**
 * How often the lag of the event loop is measured; at rest `nodejs_eventloop_lag_mean_seconds` is this time. With the usual 10 ms,
 * a process that does nothing spends 0.3 % of a core on it.
 */
const LAG_EVERY_MS = 250;

/** Stands for the values of a label that are not known at the declaration. */
export const OPEN = 'open';

/**
 * A counter `cloud_connector_<name>_total`. Each label is declared with all its values, which must be few: never a client
 * id. Every combination starts with a sample of 0, so that an alert on an increase sees the first event too. A counter with
 * an `OPEN` label has no such samples: code that finds a new value calls `inc(labels, 0)`.
 */
export function counter<Label extends string = never>(
  name: string,
  help: string,
  labels: Readonly<Record<Label, readonly string[] | typeof OPEN>> = {} as Record<Label, never>,
): Counter<Label> {
  const labelNames = Object.keys(labels) as Label[];
  const created = new Counter({ name: `${PREFIX}${name}_total`, help, labelNames });
  for (const combination of combinations(labelNames.map((label) => labels[label]))) {
    created.inc(Object.fromEntries(labelNames.map((label, i) => [label, combination[i]])) as Record<Label, string>, 0);
  }
  return created;
}

/** All members of a union of strings, as values of a label. The compiler checks that none is missing. */
export function valuesOf<Value extends string>(members: Readonly<Record<Value, true>>): Value[] {
  return Object.keys(members) as Value[];
}

function combinations(labels: readonly (readonly string[] | typeof OPEN)[]): string[][] {
  return labels.reduce<string[][]>(
    (prefixes, values) =>
      values === OPEN ? [] : prefixes.flatMap((prefix) => values.map((value) => [...prefix, value])),
    [[]],
  );
}

export function gauge<Label extends string = never>(
  name: string,
  help: string,
  labels: Label[] = [],
  collect?: (this: Gauge<Label>) => void | Promise<void>,
): Gauge<Label> {
  return new Gauge({ name: `${PREFIX}${name}`, help, labelNames: labels, ...(collect && { collect }) });
}

/** An unknown value has no sample: 0 would be taken for a measured one, and NaN would spoil a `max` or a `sum` over processes. */
export function setOrRemove(of: Pick<Gauge, 'set' | 'remove'>, value: number | undefined): void {
  if (value === undefined) of.remove();
  else of.set(value);
}

/** A histogram `cloud_connector_<name>_seconds`, with buckets from a tenth of a millisecond to ten seconds. */
export function secondsHistogram<Label extends string = never>(
  name: string,
  help: string,
  labels: Label[] = [],
): Histogram<Label> {
  return new Histogram({
    name: `${PREFIX}${name}_seconds`,
    help,
    labelNames: labels,
    buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
}

@Controller('metrics')
export class MetricsController {
  constructor() {
    if (register.getSingleMetric('process_cpu_seconds_total') === undefined)
      collectDefaultMetrics({ eventLoopMonitoringPrecision: LAG_EVERY_MS });
  }

  @Get()
  @RouteAccess({ audience: 'management' })
  @Header('content-type', register.contentType)
  read(): Promise<string> {
    return register.metrics();
  }
}
