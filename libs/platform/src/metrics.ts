/** Prometheus metrics. Each is declared beside what it measures; this file names them alike and exposes them. */
import { Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Counter, Gauge, Histogram, collectDefaultMetrics, register } from 'prom-client';
import { RouteAccess } from './route-access.js';

const PREFIX = 'cloud_connector_';

/** A counter `cloud_connector_<name>_total`. Labels must have few values: never a client id. */
export function counter<Label extends string = never>(
  name: string,
  help: string,
  labels: Label[] = [],
): Counter<Label> {
  return new Counter({ name: `${PREFIX}${name}_total`, help, labelNames: labels });
}

export function gauge<Label extends string = never>(
  name: string,
  help: string,
  labels: Label[] = [],
  collect?: (this: Gauge<Label>) => void | Promise<void>,
): Gauge<Label> {
  return new Gauge({ name: `${PREFIX}${name}`, help, labelNames: labels, ...(collect && { collect }) });
}

/** Seconds, from a tenth of a millisecond to ten seconds. */
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

@ApiExcludeController()
@Controller('metrics')
export class MetricsController {
  constructor() {
    if (register.getSingleMetric('process_cpu_seconds_total') === undefined) collectDefaultMetrics();
  }

  @Get()
  @RouteAccess({ door: 'management' })
  @Header('content-type', register.contentType)
  read(): Promise<string> {
    return register.metrics();
  }
}
