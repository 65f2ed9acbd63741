/** `docs/asyncapi.yaml` is a valid AsyncAPI document, and says of the MQTT side what the code does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
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

/** Members of an object schema, and of the objects within it. */
interface ObjectShape {
  type?: unknown;
  const?: unknown;
  required?: string[];
  properties?: Record<string, ObjectShape>;
}

interface DescribedMessage {
  name: string;
  schema: ObjectShape;
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
    schema: message.payload()?.json() as ObjectShape,
    examples: message
      .examples()
      .all()
      .map((example) => example.payload() as unknown),
  }));
}

function envelopes(channel: string): DescribedMessage[] {
  return described(channel).filter(({ name }) => name !== WITHOUT_ENVELOPE);
}

/** Required and known members, at each depth that the document describes. */
function outline({ properties = {}, required = [] }: ObjectShape): unknown {
  return {
    required: required.toSorted(),
    members: Object.fromEntries(
      Object.keys(properties)
        .toSorted()
        .map((name) => {
          const member = properties[name];
          return [name, member?.properties === undefined ? 'value' : outline(member)];
        }),
    ),
  };
}

/** JSON objects only: a message's payload from an application may be anything, which zod writes as a reference. */
function outlineOf(schema: z.ZodType): unknown {
  return outline(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as ObjectShape);
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

  test.each(Object.keys(schemas))('have the members of the schema of the code: %s', (type) => {
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
