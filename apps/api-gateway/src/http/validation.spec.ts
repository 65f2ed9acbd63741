import type { ArgumentMetadata } from '@nestjs/common';
import { z } from 'zod';
import { Problem } from './problem.js';
import { ClientIdParam, MessageIdParam, validationPipe } from './validation.js';

type Argument = Pick<ArgumentMetadata, 'type' | 'data'>;

async function problemOf(schema: z.ZodType, value: unknown, argument: Argument = { type: 'body' }): Promise<Problem> {
  try {
    await validationPipe().transform(value, { ...argument, schema });
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('the value was accepted');
}

describe('validationPipe', () => {
  it('passes on the value that the schema made of a valid one', async () => {
    const schema = z.strictObject({ a: z.coerce.number(), b: z.string().default('x') });
    expect(await validationPipe().transform({ a: '7' }, { type: 'query', schema })).toEqual({ a: 7, b: 'x' });
  });

  it('leaves a parameter without a schema unchanged', async () => {
    const value = { anything: true };
    expect(await validationPipe().transform(value, { type: 'body' })).toBe(value);
  });

  it('keeps members that are named like parts of a class', async () => {
    const schema = z.strictObject({ payload: z.json() });
    const inner = { constructor: { name: 'x' }, prototype: [1], deeper: [{ constructor: 1, prototype: null }] };
    const body = { payload: { ...inner, again: inner } };
    const text = JSON.stringify(body);
    for (const type of ['body', 'query'] as const) {
      const passed: unknown = await validationPipe().transform(JSON.parse(text), { type, schema });
      expect(JSON.stringify(passed)).toBe(text);
    }
    expect((await problemOf(schema, JSON.parse('{"payload":1,"constructor":2}'))).more.errors).toMatchObject([
      { pointer: '/constructor' },
    ]);
  });

  it('answers 422 with a pointer to the member and the expected value', async () => {
    const problem = await problemOf(z.object({ a: z.object({ b: z.string('must be text') }) }), { a: { b: 1 } });
    expect(problem.kind).toBe('invalid');
    expect(problem.status).toBe(422);
    expect(problem.more.errors).toEqual([{ pointer: '/a/b', detail: 'must be text' }]);
    expect(problem.detail).toBe('/a/b: must be text');
  });

  it('names every wrong member, the first of them in the detail', async () => {
    const schema = z.object({ a: z.string('no text'), b: z.array(z.number('no number')) });
    const problem = await problemOf(schema, { a: 1, b: [1, 'x', 'y'] });
    expect(problem.more.errors).toEqual([
      { pointer: '/a', detail: 'no text' },
      { pointer: '/b/1', detail: 'no number' },
      { pointer: '/b/2', detail: 'no number' },
    ]);
    expect(problem.detail).toBe('/a: no text');
  });

  it('points to the whole body if that is wrong', async () => {
    const problem = await problemOf(z.object({}, 'must be an object'), 'text');
    expect(problem.more.errors).toEqual([{ pointer: '', detail: 'must be an object' }]);
    expect(problem.detail).toBe('body: must be an object');
  });

  it('names each unknown member', async () => {
    const schema = z.strictObject({ inner: z.strictObject({ a: z.string().optional() }) });
    const problem = await problemOf(schema, { inner: { b: 1, c: 2 } });
    const detail = 'is not known; remove it, or use one of a';
    expect(problem.more.errors).toEqual([
      { pointer: '/inner/b', detail },
      { pointer: '/inner/c', detail },
    ]);
  });

  it('names the place of a parameter, and no name that may be a key', async () => {
    const value = { cck_S3cret: '1', limit: 'x' };
    const query = await problemOf(z.strictObject({ limit: z.int('no number') }), value, { type: 'query' });
    const detail = 'is not known; remove it, or use one of limit';
    expect(query.more.errors).toEqual([
      { in: 'query', name: 'limit', detail: 'no number' },
      { in: 'query', name: '', detail },
    ]);
    const path = await problemOf(z.string('no text'), value, { type: 'param', data: 'client_id' });
    expect(path.more.errors).toEqual([{ in: 'path', name: 'client_id', detail: 'no text' }]);
    expect(path.detail).toBe('path parameter client_id: no text');
  });

  it('escapes names according to RFC 6901', async () => {
    const problem = await problemOf(z.strictObject({ 'x/~y': z.string('no text') }), { 'x/~y': 1, '~1/': 2 });
    expect(problem.more.errors).toMatchObject([{ pointer: '/x~1~0y' }, { pointer: '/~01~1' }]);
  });

  it('lists no more than twenty errors', async () => {
    const values = Array.from({ length: 1000 }, () => 'x');
    expect((await problemOf(z.array(z.number()), values)).more.errors).toHaveLength(20);
    const unknown = Object.fromEntries(values.map((_, i) => [`member-${i}`, i]));
    expect((await problemOf(z.strictObject({}), unknown)).more.errors).toHaveLength(20);
  });
});

describe('ClientIdParam', () => {
  it('accepts an id that is one topic level', () => {
    expect(ClientIdParam.parse('host 1 é')).toBe('host 1 é');
    expect(ClientIdParam.parse('a'.repeat(256))).toHaveLength(256);
  });

  it.each([
    ['', 'must not be empty'],
    ['a/b', 'must not contain "/", "+", "#", control characters or noncharacters of Unicode'],
    ['+', 'must not contain "/", "+", "#", control characters or noncharacters of Unicode'],
    ['é'.repeat(129), 'must be at most 256 UTF-8 bytes'],
  ])('refuses the client id %j and says why', async (id, detail) => {
    const problem = await problemOf(ClientIdParam, id);
    expect(problem.more.errors).toEqual([{ pointer: '', detail }]);
  });
});

describe('MessageIdParam', () => {
  it.each(['017f22e2-79b0-7abc-8000-000000000000', '3fb0c7be-89cb-4f19-84b7-94448f40f769'])(
    'accepts the message id %s',
    (id) => {
      expect(MessageIdParam.parse(id)).toBe(id);
      expect(MessageIdParam.parse(id.toUpperCase())).toBe(id);
    },
  );

  it.each(['', 'x', '017f22e279b07abc8000000000000000', '017f22e2-79b0-7abc-8000-00000000000g', '{}'])(
    'refuses the message id %j and says what would be right',
    async (id) => {
      expect((await problemOf(MessageIdParam, id)).detail).toBe('body: must be a UUID');
    },
  );
});
