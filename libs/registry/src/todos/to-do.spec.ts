import { WAKE_TODO } from '../messages/wake-todo.js';
import { decodeToDo, encodeToDo } from './to-do.js';

describe('the to-do that wakes a dispatcher', () => {
  it('is written by the scripts on messages as a to-do is encoded', () => {
    expect(WAKE_TODO).toBe(encodeToDo({ do: 'wake' }));
    expect(decodeToDo(WAKE_TODO)).toEqual({ do: 'wake' });
  });
});
