import { WAKE_TODO } from '../messages/wake-todo.js';
import { decodeToDo, encodeToDo } from './to-do.js';

describe('the to-do that wakes a dispatcher', () => {
  it('has the same text in Lua commands as in TypeScript', () => {
    expect(WAKE_TODO).toBe(encodeToDo({ do: 'wake' }));
    expect(decodeToDo(WAKE_TODO)).toEqual({ do: 'wake' });
  });
});
