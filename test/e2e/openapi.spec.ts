/** The OpenAPI document of a running gateway: it is valid, declares all errors, and agrees with the responses. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SwaggerParser from '@apidevtools/swagger-parser';
import { startStack, stopAll } from '../../scripts/stack.mjs';
import { ClusterBody } from '../../apps/api-gateway/src/cluster/cluster.dto.js';
import { ConnectionBody, ConnectionPageBody } from '../../apps/api-gateway/src/connections/connection.dto.js';
import { CallerBody } from '../../apps/api-gateway/src/access/caller.dto.js';
import { SummaryBody } from '../../apps/api-gateway/src/http/summary.dto.js';
import { FoundMessagesBody } from '../../apps/api-gateway/src/messages/message-search.dto.js';
import { StatsBody } from '../../apps/api-gateway/src/stats/stats.dto.js';
import { ProblemBody } from '../../apps/api-gateway/src/http/problem.js';
import {
  AcceptedMessageBody,
  BatchResultBody,
  MessageBody,
  MessagePageBody,
} from '../../apps/api-gateway/src/messages/message.dto.js';
import { Api } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';

interface Schema {
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
}

interface Operation {
  operationId: string;
  requestBody?: { content: Record<string, { schema?: Schema }> };
  parameters?: { name: string; in: string }[];
  responses: Record<string, { content?: Record<string, unknown>; headers?: Record<string, unknown> }>;
}

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-openapi-'));
let api: Api;
let operations: Map<string, Operation>;

beforeAll(async () => {
  const stack = await startStack({ dir });
  api = new Api(stack.gateway.url);
  const document = await (await fetch(`${api.url}/openapi.json`)).json();
  const valid = await SwaggerParser.validate(document as Parameters<typeof SwaggerParser.validate>[0]);
  operations = new Map();
  for (const [path, methods] of Object.entries(valid.paths ?? {})) {
    for (const [method, operation] of Object.entries(methods as Record<string, Operation>)) {
      operations.set(`${method.toUpperCase()} ${path}`, operation);
    }
  }
  const client = await TestClient.connect(stack.mosquitto.url, 'documented');
  await client.shakeHands();
  await api.untilConnection('documented', ({ state }) => state === 'online');
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it('the OpenAPI document lists exactly the operations that exist, each with its own id', () => {
  expect([...operations.keys()].sort()).toEqual([
    'DELETE /v1/connections/{client_id}',
    'DELETE /v1/connections/{client_id}/refusal',
    'DELETE /v1/messages/{message_id}',
    'GET /v1/cluster',
    'GET /v1/cluster/dead-letters',
    'GET /v1/cluster/sweeps/latest',
    'GET /v1/cluster/sweeps/{sweep_id}',
    'GET /v1/connections',
    'GET /v1/connections/summary',
    'GET /v1/connections/{client_id}',
    'GET /v1/connections/{client_id}/messages',
    'GET /v1/events',
    'GET /v1/messages',
    'GET /v1/messages/{message_id}',
    'GET /v1/stats',
    'GET /v1/whoami',
    'POST /v1/cluster/sweeps',
    'POST /v1/connections/{client_id}/force-disconnect',
    'POST /v1/connections/{client_id}/messages',
    'POST /v1/connections/{client_id}/verify',
    'POST /v1/messages',
  ]);
  const ids = [...operations.values()].map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

it('the OpenAPI document declares the errors of sending a message, with Retry-After if the caller should wait', () => {
  const send = operations.get('POST /v1/connections/{client_id}/messages');
  expect(Object.keys(send?.responses ?? {})).toEqual(
    expect.arrayContaining(['202', '400', '404', '409', '413', '415', '422', '429', '500', '503']),
  );
  for (const status of ['429', '503']) expect(send?.responses[status]?.headers).toHaveProperty('Retry-After');
});

it('the OpenAPI document declares every error as problem+json', () => {
  for (const [name, { responses }] of operations) {
    for (const [status, { content }] of Object.entries(responses)) {
      if (Number(status) >= 400)
        expect([name, status, Object.keys(content ?? {})]).toEqual([name, status, ['application/problem+json']]);
    }
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(['500', '503']));
  }
});

it('the OpenAPI document shows the schema of the messages of a batch', () => {
  const schema = operations.get('POST /v1/messages')?.requestBody?.content['application/json']?.schema;
  const items = schema?.properties?.['messages']?.items;
  expect(items?.required).toEqual(['client_id', 'directive']);
  expect(Object.keys(items?.properties ?? {})).toEqual(
    expect.arrayContaining(['client_id', 'directive', 'payload', 'ttl_seconds', 'when_offline', 'idempotency_key']),
  );
});

it('the OpenAPI document names every filter of the listing', () => {
  const parameters = operations.get('GET /v1/connections')?.parameters ?? [];
  const names = parameters.filter(({ in: place }) => place === 'query').map(({ name }) => name);
  expect(names).toEqual([
    ...['state', 'type', 'client_id_prefix', 'offline_reason', 'held', 'refused', 'limit', 'cursor'],
    ...['insights_id', 'machine_id', 'bios_uuid', 'subscription_manager_id'],
    ...['fqdn', 'ip_address', 'mac_address'],
  ]);
});

it('the responses of the gateway have the schemas of the OpenAPI document', async () => {
  const sent = await api.call<{ message_id: string }>('POST', '/v1/connections/documented/messages', {
    directive: 'x',
  });
  const answers = [
    [AcceptedMessageBody, sent],
    [MessageBody, await api.call('GET', `/v1/messages/${sent.body.message_id}`)],
    [MessagePageBody, await api.call('GET', '/v1/connections/documented/messages')],
    [
      BatchResultBody,
      await api.call('POST', '/v1/messages', {
        messages: [{ client_id: 'documented', directive: 'x' }, { client_id: 'nobody', directive: 'x' }, {}],
      }),
    ],
    [ConnectionBody, await api.call('GET', '/v1/connections/documented')],
    [ConnectionPageBody, await api.call('GET', '/v1/connections')],
    [SummaryBody, await api.call('GET', '/v1/connections/summary')],
    [ClusterBody, await api.call('GET', '/v1/cluster')],
    [FoundMessagesBody, await api.call('GET', '/v1/messages')],
    [StatsBody, await api.call('GET', '/v1/stats')],
    [CallerBody, await api.call('GET', '/v1/whoami')],
    [ProblemBody, await api.call('GET', '/v1/connections/nobody')],
  ] as const;
  for (const [schema, { body }] of answers) expect(schema.strict().parse(body)).toEqual(body);
});

it('the gateway renders the OpenAPI document at /docs', async () => {
  const page = await fetch(`${api.url}/docs`);
  expect(page.status).toBe(200);
  expect(page.headers.get('content-type')).toContain('text/html');
});
