/** What is wrong with a value of a request or a message, and how it would be right: one voice for all issues that zod finds. */
import { z } from 'zod';

type Issue = z.core.$ZodRawIssue;

const FORMATS: Partial<Record<string, string>> = {
  uuid: 'must be a UUID',
  datetime: 'must be an RFC 3339 timestamp, such as 2026-01-02T03:04:05Z',
};

/** Schemas with an error of their own keep it. `inQuery`: the values are parameters of a query, which are all text. */
export function issueTexts(inQuery: boolean): z.core.$ZodErrorMap {
  return (issue) => {
    if (inQuery && Array.isArray(issue.input)) return 'must occur only once';
    if (issue.code === 'invalid_type') return wrongType(issue);
    // The schema of an enum does not tell a missing value from a wrong one.
    if (issue.code === 'invalid_value') return issue.input === undefined ? 'is required' : oneOf(issue.values);
    return wrongValue(issue);
  };
}

function wrongValue(issue: Issue): string {
  switch (issue.code) {
    case 'too_small':
      return amount(issue.origin, Number(issue.minimum), 'more');
    case 'too_big':
      return amount(issue.origin, Number(issue.maximum), 'fewer');
    case 'invalid_format':
      return FORMATS[issue.format] ?? 'has a wrong form';
    case 'unrecognized_keys':
      return `is not known; remove it, or use one of ${memberNames(issue.inst).join(', ')}`;
    default:
      return 'is not valid';
  }
}

function wrongType(issue: Extract<Issue, { code: 'invalid_type' }>): string {
  const { expected, input, inst: schema, path = [] } = issue;
  if (path.length === 0 && schema instanceof z.ZodObject) {
    const about = `a JSON object with ${requiredNames(schema).join(' and ')}`;
    return input === undefined ? `is required: ${about}` : `must be ${about}`;
  }
  if (input === undefined) return 'is required';
  switch (expected) {
    case 'string':
      return 'must be text';
    case 'int':
    case 'number':
      return number(schema);
    case 'boolean':
      return 'must be true or false';
    case 'record':
      return 'must be an object';
    default:
      return `must be an ${expected}`;
  }
}

function number(schema: Issue['inst']): string {
  const what = schema instanceof z.ZodNumberFormat ? 'a whole number' : 'a number';
  const { minValue, maxValue } = schema instanceof z.ZodNumber ? schema : { minValue: null, maxValue: null };
  return minValue === null || maxValue === null ? `must be ${what}` : `must be ${what} from ${minValue} to ${maxValue}`;
}

function amount(origin: string, limit: number, word: 'more' | 'fewer'): string {
  if (origin === 'string' || origin === 'array') {
    if (limit === 1 && word === 'more') return 'must not be empty';
    return `must have ${limit} ${origin === 'string' ? 'characters' : 'items'} or ${word}`;
  }
  return `must be ${limit} or ${word === 'more' ? 'more' : 'less'}`;
}

function oneOf(values: readonly unknown[]): string {
  const names = values.map(String);
  return names.length > 2 ? `must be one of ${names.join(', ')}` : `must be ${names.join(' or ')}`;
}

function memberNames(schema: Issue['inst']): string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function requiredNames({ shape }: z.ZodObject): string[] {
  return Object.keys(shape).filter((name) => !z.safeParse(shape[name] ?? z.never(), undefined).success);
}
