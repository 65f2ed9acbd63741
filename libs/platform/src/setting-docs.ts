/**
 * The text of docs/configuration.md for each setting. It is stored in the schemas: `.describe(…)` sets the meaning,
 * `section(…)` sets the heading, and the functions that create schemas add the accepted values.
 */
import { z } from 'zod';

export interface SettingDescription {
  name: string;
  section: string;
  /** Type, unit and limits. */
  values: string;
  /** The default, as it would be set; undefined if there is none. */
  byDefault: string | undefined;
  /** The default of a size in the largest fitting unit, such as `64 KiB`. */
  defaultSize: string | undefined;
  required: boolean;
  meaning: string;
}

/** The members of a zod definition that this file reads. */
interface Definition {
  type: string;
  in?: z.core.$ZodType;
  innerType?: z.core.$ZodType;
  defaultValue?: unknown;
  entries?: Readonly<Record<string, string>>;
}

const SECTIONS = z.registry<{ title: string }>();

/** Adds settings to a section of docs/configuration.md. */
export function section<Shape extends Readonly<Record<string, z.ZodType>>>(title: string, shape: Shape): Shape {
  for (const schema of Object.values(shape)) SECTIONS.add(schema, { title });
  return shape;
}

export function withValues<Schema extends z.ZodType>(schema: Schema, values: string): Schema {
  return schema.meta({ values });
}

/** A number of bytes in the largest unit that divides it, such as `64 KiB`. */
export function inBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [amount, unit] = [bytes, 0];
  while (amount >= 1024 && amount % 1024 === 0 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${amount} ${units[unit]}`;
}

/** @throws Error if a setting has no section or no description */
export function describeSettings(shape: Readonly<Record<string, z.ZodType>>): SettingDescription[] {
  return Object.entries(shape).map(([name, schema]) => {
    const title = SECTIONS.get(schema)?.title;
    const meaning = schema.description;
    if (title === undefined) throw new Error(`${name}: put it into a section(…) of its settings file`);
    if (meaning === undefined) throw new Error(`${name}: add .describe(…) to its schema`);
    const values = valuesOf(schema);
    const { byDefault, required } = defaultOf(schema);
    const defaultSize = values.startsWith('bytes') && byDefault !== undefined ? inBytes(Number(byDefault)) : undefined;
    return { name, section: title, values, byDefault, defaultSize, required, meaning };
  });
}

function definitionOf(schema: z.core.$ZodType): Definition {
  return schema._zod.def;
}

function valuesOf(schema: z.core.$ZodType): string {
  const declared = z.globalRegistry.get(schema)?.values;
  if (typeof declared === 'string') return declared;
  const { innerType, in: input, entries } = definitionOf(schema);
  if (entries !== undefined)
    return Object.values(entries)
      .map((value) => `\`${value}\``)
      .join(', ');
  const inner = innerType ?? input;
  return inner === undefined ? 'text' : valuesOf(inner);
}

function defaultOf(schema: z.core.$ZodType): Pick<SettingDescription, 'byDefault' | 'required'> {
  const { type, in: input, defaultValue } = definitionOf(schema);
  if (type === 'default') return { byDefault: String(defaultValue), required: false };
  if (type === 'optional') return { byDefault: undefined, required: false };
  return type === 'pipe' && input !== undefined ? defaultOf(input) : { byDefault: undefined, required: true };
}
