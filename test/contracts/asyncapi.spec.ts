/** `docs/asyncapi.yaml` is a valid AsyncAPI document, and says of the MQTT side what the code does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as protocol from '@app/protocol';
import {
  DEFAULT_IN_TOPIC,
  DEFAULT_OUT_TOPIC,
  ForceDisconnect,
  HandshakeError,
  HandshakeResponse,
  INBOUND_SCHEMAS,
  Message,
  parseInbound,
  parseReconnectAfter,
  type Outbound,
} from '@app/protocol';
import { Parser, type AsyncAPIDocumentInterface, type Diagnostic } from '@asyncapi/parser';
import { z } from 'zod';

const OUTBOUND_SCHEMAS = {
  message: Message,
  'handshake-error': HandshakeError,
  'handshake-response': HandshakeResponse,
  'force-disconnect': ForceDisconnect,
} as const satisfies Record<Outbound['type'], z.ZodType<Outbound>>;

/** An empty payload is no envelope, so it has no `type` and no schema in the code. */
const WITHOUT_ENVELOPE = 'handshake-removal';

/** The parser writes the name of a schema there; generators take it from there. */
const NAME = 'x-parser-schema-id';

/** What a schema says, and those within it. */
interface Shape {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  required?: string[];
  properties?: Record<string, Shape>;
  items?: Shape;
  description?: string;
  [NAME]?: string;
  [keyword: string]: unknown;
}

/** Keywords that a generator makes types and checks of. The code has patterns beside formats, and the document has none. */
const COMPARED = ['format', 'minLength', 'maxLength', 'minimum', 'maximum'];

interface DescribedMessage {
  name: string;
  schemaName: string;
  schema: Shape;
  examples: unknown[];
}

/** Information is not a fault: the parser knows a newer version of the specification. */
const INFORMATION = 2;

let document: AsyncAPIDocumentInterface;
let diagnostics: Diagnostic[];

beforeAll(async () => {
  const text = readFileSync(join(__dirname, '../../docs/asyncapi.yaml'), 'utf8');
  const parsed = await new Parser().parse(text);
  diagnostics = parsed.diagnostics;
  if (parsed.document !== undefined) document = parsed.document;
});

function described(channel: string): DescribedMessage[] {
  return (document.channels().get(channel)?.messages().all() ?? []).map((message) => ({
    name: message.name() ?? '',
    schemaName: message.payload()?.id() ?? '',
    schema: message.payload()?.json() as Shape,
    examples: message
      .examples()
      .all()
      .map((example) => example.payload() as unknown),
  }));
}

function envelopes(channel: string): DescribedMessage[] {
  return described(channel).filter(({ name }) => name !== WITHOUT_ENVELOPE);
}

/** What the document and the code must both say, at each depth; an enum of one value is a `const`. A reference of the code stands for any JSON value. */
function outline({ $ref, type = [], required = [], properties, items, ...rest }: Shape): unknown {
  if ($ref !== undefined) return outline({});
  return {
    types: [type].flat().map((one) => (one === 'integer' ? 'number' : one)),
    values: rest.enum ?? [rest.const],
    ...Object.fromEntries(COMPARED.filter((keyword) => keyword in rest).map((keyword) => [keyword, rest[keyword]])),
    ...(properties && { required: required.toSorted() }),
    ...(properties && {
      members: Object.fromEntries(Object.entries(properties).map(([name, member]) => [name, outline(member)])),
    }),
    ...(items && { items: outline(items) }),
  };
}

function outlineOf(schema: z.ZodType): unknown {
  return outline(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Shape);
}

/** What a generator makes an `AnonymousSchema`, or `any`, of. */
function faultsOf(name: string, { description, properties = {}, ...rest }: Shape): string[] {
  return [
    ...(description ? [] : [`${name} has no description`]),
    ...['anyOf', 'oneOf', 'allOf', 'not', 'if'].filter((word) => word in rest).map((word) => `${name} has ${word}`),
    ...Object.entries(properties).flatMap(([memberName, member]) => {
      const where = `${name}.${memberName}`;
      const isNamed = !member[NAME]?.startsWith('<anonymous');
      return [
        ...(isNamed || member.type !== 'object' ? [] : [`${where} is an object without a name`]),
        ...(member.type === undefined && !member.description?.startsWith('Any JSON') ? [`${where} has no type`] : []),
        ...(isNamed ? [] : faultsOf(where, member)),
      ];
    }),
  ];
}

test('the document is valid', () => {
  expect(diagnostics.filter(({ severity }) => (severity as number) < INFORMATION)).toEqual([]);
});

test('the channels are the default topics', () => {
  const addresses = document
    .channels()
    .all()
    .map((channel) => [
      channel.id(),
      channel.address(),
      channel
        .parameters()
        .all()
        .map((one) => one.id()),
    ]);
  expect(addresses).toEqual([
    ['in', DEFAULT_IN_TOPIC, ['clientId']],
    ['out', DEFAULT_OUT_TOPIC, ['clientId']],
  ]);
});

test('the service receives on the one and sends on the other', () => {
  const directions = document
    .operations()
    .all()
    .flatMap((operation) =>
      operation
        .channels()
        .all()
        .map((channel) => [channel.id(), operation.action()].join(' ')),
    );
  expect(new Set(directions)).toEqual(new Set(['in receive', 'out send']));
});

test('every message belongs to an operation', () => {
  for (const channel of document.channels().all()) {
    const used = channel
      .operations()
      .all()
      .flatMap((operation) =>
        operation
          .messages()
          .all()
          .map((message) => message.name()),
      );
    expect(new Set(used)).toEqual(new Set(described(channel.id()).map(({ name }) => name)));
  }
});

test('every operation publishes at QoS 1, and only connection state is retained', () => {
  for (const operation of document.operations().all()) {
    const binding = operation.bindings().get('mqtt')?.value();
    expect(binding).toMatchObject({ qos: 1 });
    const retained = ['receiveHandshake', 'receiveHandshakeRemoval', 'receiveLastWill'];
    expect([operation.id(), binding?.retain]).toEqual([operation.id(), retained.includes(operation.id() ?? '')]);
  }
});

test("the client's last will is an offline message on its topic", () => {
  const binding = document.servers().get('broker')?.bindings().get('mqtt')?.value() as {
    clientId: string;
    lastWill: { topic: string; qos: number; retain: boolean; message: string };
  };
  const { topic, qos, retain, message } = binding.lastWill;
  expect({ topic, qos, retain }).toEqual({
    topic: DEFAULT_IN_TOPIC.replace('{clientId}', binding.clientId),
    qos: 1,
    retain: true,
  });
  expect(parseInbound(message)).toMatchObject({ ok: true, message: { type: 'offline' } });
});

describe.each([
  ['in', INBOUND_SCHEMAS],
  ['out', OUTBOUND_SCHEMAS],
] as const)('messages on "%s"', (channel, schemas: Readonly<Record<string, z.ZodType>>) => {
  test('exist for each type of the code, and for no other', () => {
    const types = envelopes(channel).map(({ schema }) => schema.properties?.['type']?.const);
    expect(types.toSorted()).toEqual(Object.keys(schemas).toSorted());
    expect(envelopes(channel).map(({ name }) => name)).toEqual(types);
  });

  test.each(Object.entries(schemas))('have a named schema, with the name of the code: %s', (type, schema) => {
    const message = envelopes(channel).find(({ name }) => name === type);
    expect(Object.entries(protocol)).toContainEqual([message?.schemaName, schema]);
  });

  test.each(Object.keys(schemas))('have the members, types and limits of the schema of the code: %s', (type) => {
    const message = envelopes(channel).find(({ name }) => name === type);
    expect(outline(message?.schema ?? {})).toEqual(outlineOf(schemas[type] ?? z.never()));
  });

  test.each(Object.keys(schemas))('have examples that the code accepts: %s', (type) => {
    const examples = envelopes(channel).find(({ name }) => name === type)?.examples ?? [];
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      if (channel === 'in') expect(parseInbound(JSON.stringify(example))).toEqual({ ok: true, message: example });
      else expect(schemas[type]?.safeParse(example).error?.issues ?? []).toEqual([]);
    }
  });
});

test('every object has a name, every schema and member a text, and no schema is a union', () => {
  const named = document.components().schemas().all();
  expect(named.flatMap((schema) => faultsOf(schema.id(), schema.json<Shape>()))).toEqual([]);
  for (const channel of ['in', 'out'])
    expect(described(channel).filter(({ schemaName }) => !named.some((one) => one.id() === schemaName))).toEqual([]);
});

test.each([
  ['host-handshake', { canonical_facts: {} }],
  ['message-progress', {}],
])('%s needs at least one member, in the document and in the code', (type, payload) => {
  const message = envelopes('in').find(({ name }) => name === type);
  const example = message?.examples[0] as object;
  const fits = z.fromJSONSchema(message?.schema as Parameters<typeof z.fromJSONSchema>[0]);
  expect(fits.safeParse(example).success).toBe(true);
  expect(fits.safeParse({ ...example, payload }).success).toBe(false);
  expect(parseInbound(JSON.stringify({ ...example, payload })).ok).toBe(false);
});

test.each(['in', 'out'])('the examples on "%s" fit the schemas beside them', (channel) => {
  for (const { name, schema, examples } of described(channel)) {
    const fits = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
    for (const example of examples) expect([name, fits.safeParse(example).error?.issues]).toEqual([name, undefined]);
  }
});

test('the empty message is the removal of a handshake', () => {
  const removal = described('in').find(({ name }) => name === WITHOUT_ENVELOPE);
  expect(removal?.examples).toEqual(['']);
});

test('the examples of reconnect_after show its three forms, each understood', () => {
  const examples = envelopes('out').find(({ name }) => name === 'force-disconnect')?.examples as ForceDisconnect[];
  const now = Date.parse('2026-01-02T03:06:05Z');
  expect(examples.map(({ payload }) => parseReconnectAfter(payload.reconnect_after, now))).toEqual([
    now + 30_000,
    Date.parse('2026-01-02T04:00:00Z'),
    'never',
  ]);
});
