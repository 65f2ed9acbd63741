import { StaleOwnerError, type Grant } from './ownership.js';

it('a StaleOwnerError names the grant that was lost, and says what the process does about it', () => {
  const grant: Grant = { kind: 'shard', index: 4, epoch: 7, fence: '7:boot' };
  const error = new StaleOwnerError(grant);
  expect(error.message).toBe(
    'shard 4 is owned by another process (our epoch 7 is stale): this process stops acting for it',
  );
  expect(error.name).toBe('StaleOwnerError');
});
