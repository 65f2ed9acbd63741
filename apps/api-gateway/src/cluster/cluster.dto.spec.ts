import type { ClusterState } from '@app/sharding';
import { ClusterBody, toClusterBody } from './cluster.dto.js';

const since = '2026-11-30T06:00:00.000Z';
const member: ClusterState['members'][number] = {
  ...{ id: 'i/1', name: 'i', since, format: 4, wants_lanes: 1, knows_lanes: 1, draining: false },
  fitness: 'troubled',
  ...{ shards: [], lanes: [] },
};
const dispatcher = { id: 'd/1', name: 'd', since, takes_shards: false, shards: 0 };

it('a process says why it does not work; one of an older release does not', () => {
  const state: ClusterState = {
    members: [{ ...member, reason: 'recovering' }, member],
    dispatchers: [{ ...dispatcher, reason: 'stopping' }, dispatcher],
    ...{ gateways: [], shards: [], lanes: [] },
  };
  const body = toClusterBody(state, {
    ...{ broker: undefined, masters: [], deadLetters: 0 },
    highWater: { share: 0.9 },
  });
  expect(ClusterBody.parse(body)).toMatchObject({
    members: [{ reason: 'recovering' }, { reason: null }],
    dispatchers: [{ reason: 'stopping' }, { reason: null }],
  });
});
