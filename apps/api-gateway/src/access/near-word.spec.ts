import { nearWord } from './near-word.js';
import { SCOPES } from './scopes.js';

it.each([
  ['conections:read', 'connections:read'],
  ['message:write', 'messages:write'],
  ['events:raed', 'events:read'],
  ['Events:read', 'events:read'],
  ['nothing', undefined],
  ['', undefined],
])('for the scope %j, %j was meant', (wrong, expected) => {
  expect(nearWord(wrong, SCOPES)).toBe(expected);
});
