import { register } from 'prom-client';
import { OPEN, counter, valuesOf } from './metrics.js';

afterEach(() => register.clear());

async function samples(): Promise<string[]> {
  const text = await register.metrics();
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('counter', () => {
  it('starts at 0 for every combination of its labels, so that an alert on an increase sees the first event', async () => {
    counter('moves', 'Moves.', { kind: ['shard', 'lane'], change: ['acquired', 'lost'] });
    expect(await samples()).toEqual([
      'cloud_connector_moves_total{kind="shard",change="acquired"} 0',
      'cloud_connector_moves_total{kind="shard",change="lost"} 0',
      'cloud_connector_moves_total{kind="lane",change="acquired"} 0',
      'cloud_connector_moves_total{kind="lane",change="lost"} 0',
    ]);
  });

  it('starts at 0 if it has no labels', async () => {
    counter('moves', 'Moves.');
    expect(await samples()).toEqual(['cloud_connector_moves_total 0']);
  });

  it('has no sample for a label with unknown values until the first value is used', async () => {
    const moves = counter('moves', 'Moves.', { lane: OPEN, change: ['lost'] });
    expect(await samples()).toEqual([]);
    moves.inc({ lane: 3, change: 'lost' }, 0);
    expect(await samples()).toEqual(['cloud_connector_moves_total{lane="3",change="lost"} 0']);
  });

  it('adds increments to the initial sample', async () => {
    counter('moves', 'Moves.', { kind: valuesOf<'shard'>({ shard: true }) }).inc({ kind: 'shard' }, 2);
    expect(await samples()).toEqual(['cloud_connector_moves_total{kind="shard"} 2']);
  });
});
