import { shortBootId } from './short-boot-id';

it('shows the begin of the boot id if processes have the same name', () => {
  const names = ['vm', 'vm', 'other'];
  expect(shortBootId('vm/0a1b2c3d-4e5f-6789', names)).toBe('0a1b2c3d');
  expect(shortBootId('other/0a1b2c3d-4e5f-6789', names)).toBeUndefined();
});
