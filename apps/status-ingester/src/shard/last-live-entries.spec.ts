import { LastLiveEntries } from './last-live-entries.js';

it('an entry that came after an id is distinguished from one that came before it', () => {
  const marks = new LastLiveEntries('5-0');
  marks.note('host-1', '7-0');
  expect(marks.sinceNoted('host-1', '6-0')).toBe('something');
  expect(marks.sinceNoted('host-1', '7-0')).toBe('nothing');
  expect(marks.sinceNoted('host-2', '6-0')).toBe('nothing');
});

it('an entry that came before the grant is unknown', () => {
  const marks = new LastLiveEntries('5-0');
  expect(marks.sinceNoted('host-1', '4-0')).toBe('unknown');
  expect(marks.sinceNoted('host-1', '5-0')).toBe('nothing');
});

it('the oldest entry is dropped when the memory is full, and the client then counts as unknown, not as silent', () => {
  const marks = new LastLiveEntries('5-0', 2);
  marks.note('host-1', '6-0');
  marks.note('host-2', '7-0');
  // It came again, so it is no longer the oldest.
  marks.note('host-1', '8-0');
  marks.note('host-3', '9-0');
  expect(marks.sinceNoted('host-2', '6-0')).toBe('unknown');
  expect(marks.sinceNoted('host-1', '7-0')).toBe('something');
  expect(marks.sinceNoted('host-2', '8-0')).toBe('nothing');
});
