import { LastLiveEntries } from './last-live-entries.js';

it('tells what came after an id from what came before it', () => {
  const marks = new LastLiveEntries('5-0');
  marks.note('host-1', '7-0');
  expect(marks.sinceNoted('host-1', '6-0')).toBe('something');
  expect(marks.sinceNoted('host-1', '7-0')).toBe('nothing');
  expect(marks.sinceNoted('host-2', '6-0')).toBe('nothing');
});

it('knows nothing of what came before the grant', () => {
  const marks = new LastLiveEntries('5-0');
  expect(marks.sinceNoted('host-1', '4-0')).toBe('unknown');
  expect(marks.sinceNoted('host-1', '5-0')).toBe('nothing');
});

it('forgets the oldest where it is full, and does not take that for silence', () => {
  const marks = new LastLiveEntries('5-0', 2);
  marks.note('host-1', '6-0');
  marks.note('host-2', '7-0');
  // Heard again, so it is no longer the oldest.
  marks.note('host-1', '8-0');
  marks.note('host-3', '9-0');
  expect(marks.sinceNoted('host-2', '6-0')).toBe('unknown');
  expect(marks.sinceNoted('host-1', '7-0')).toBe('something');
  expect(marks.sinceNoted('host-2', '8-0')).toBe('nothing');
});
