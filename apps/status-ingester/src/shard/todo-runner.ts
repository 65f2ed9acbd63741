/**
 * Does the to-dos that commits wrote, as the catalogue says (`todo-catalogue.ts`). Each may be done twice, none is lost: a
 * to-do leaves Redis only after it was done, and what is still there comes up again by housekeeping.
 *
 * - A to-do that is running is not started again. If a commit writes it while it runs, it runs once more afterwards.
 * - Each kind has places of its own, so that what waits for the broker does not keep the rest from being done.
 */
import { setImmediate } from 'node:timers/promises';
import { Sampled, counter, sharedAbort, type Logger } from '@app/platform';
import { encodeToDo, type DueToDo, type DueTodos, type ToDo, TO_DO_KINDS } from '@app/registry';
import { StaleOwnerError, type Grant } from '@app/sharding';
import type { ToDoKind, ToDoKinds } from './todo-catalogue.js';

const done = counter('todos_done', 'To-dos done, by kind.', { kind: TO_DO_KINDS });

interface Running {
  /** As it was handed out last: so it is removed, unless a commit has written it since. */
  todo: DueToDo;
  ended: Promise<void>;
  abort: AbortController;
  /** It was written again, and is to run once more. */
  again: DueToDo | undefined;
}

export class ToDoRunner {
  private readonly running = new Map<string, Running>();
  private readonly count = new Map<ToDo['do'], number>();
  /** Removals of to-dos that are gathered for one script. */
  private readonly removals = new Map<Grant, { todos: DueToDo[]; removed: Promise<void> }>();
  private readonly warnings = new Sampled();
  private readonly stopping = sharedAbort();

  constructor(
    private readonly kinds: ToDoKinds,
    private readonly due: Pick<DueTodos, 'done'>,
    private readonly logger: Logger,
  ) {}

  /** Starts to-dos that a commit has just written, as far as there is room; returns at once. */
  begin(grant: Grant, todos: readonly DueToDo[]): void {
    for (const todo of todos) {
      const running = this.running.get(nameOf(grant, todo.todo));
      if (running === undefined) this.start(grant, todo);
      else running.again = todo;
    }
  }

  /** A commit has removed them: those that are running are given up, as far as they can be. */
  withdraw(grant: Grant, todos: readonly ToDo[]): void {
    if (this.running.size === 0) return;
    for (const todo of todos) {
      const running = this.running.get(nameOf(grant, todo));
      if (running === undefined) continue;
      running.again = undefined;
      running.abort.abort();
    }
  }

  /** Starts to-dos that have come up again, if they are not running and there is room; returns at once. */
  resume(grant: Grant, todos: readonly DueToDo[]): void {
    for (const todo of todos) {
      const running = this.running.get(nameOf(grant, todo.todo));
      if (running === undefined) this.start(grant, todo);
      else running.todo = todo;
    }
  }

  /** Waits for what is running; what waits for the broker is given up and comes up again. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const { abort } of this.running.values()) abort.abort();
    await Promise.all(Array.from(this.running.values(), ({ ended }) => ended));
  }

  private start(grant: Grant, todo: DueToDo): void {
    const kind = todo.todo.do;
    const under = this.count.get(kind) ?? 0;
    if (this.stopping.signal.aborted || under >= this.kinds[kind].most) return;
    this.count.set(kind, under + 1);
    const name = nameOf(grant, todo.todo);
    const abort = new AbortController();
    const running: Running = { todo, abort, again: undefined, ended: Promise.resolve() };
    this.running.set(name, running);
    running.ended = this.run(grant, running).finally(() => {
      this.running.delete(name);
      this.count.set(kind, (this.count.get(kind) ?? 1) - 1);
      if (running.again !== undefined) this.start(grant, running.again);
    });
  }

  /** Never rejects. */
  private async run(grant: Grant, running: Running): Promise<void> {
    const {
      abort,
      todo: { todo },
    } = running;
    // The catalogue has for each kind what takes to-dos of that kind; the compiler cannot follow that.
    const kind = this.kinds[todo.do] as ToDoKind<ToDo>;
    const timer = setTimeout(() => abort.abort(), kind.timeoutMs);
    try {
      if ((await kind.run(todo, { grant, signal: abort.signal, stopping: this.stopping.signal })) !== 'done') return;
      if (kind.removedBy === 'runner') await this.remove(grant, running.todo);
      done.inc({ kind: todo.do });
    } catch (error) {
      if (error instanceof StaleOwnerError) return;
      this.warnings.take((skipped) =>
        this.logger.warn(
          { err: error, shard: grant.index, kind: todo.do, skipped },
          'a to-do failed; it comes up again',
        ),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /** What is done in the same turn of the event loop is removed by one script. */
  private remove(grant: Grant, todo: DueToDo): Promise<void> {
    let removal = this.removals.get(grant);
    if (removal === undefined) {
      const todos: DueToDo[] = [];
      const removed = setImmediate().then(() => {
        this.removals.delete(grant);
        return this.due.done(grant, todos);
      });
      this.removals.set(grant, (removal = { todos, removed }));
    }
    removal.todos.push(todo);
    return removal.removed;
  }
}

function nameOf({ index, fence }: Grant, todo: ToDo): string {
  return `${index} ${fence} ${encodeToDo(todo)}`;
}
