/**
 * Runs the to-dos that commits wrote (`todo-catalogue.ts`). A to-do may run twice, but none is lost: it is removed from Redis
 * only after it was done, and housekeeping brings up again what is still there.
 *
 * - A to-do that is running is not started again. If a commit writes it while it runs, it runs once more afterwards.
 * - Each kind has its own limit of concurrent runs, so that to-dos that wait for the broker do not block the others. Above it
 *   they wait for a place; those that find no room to wait, or wait for too long, come up again.
 * - A call of Redis waits while its master is away. At the time limit of the to-do it is abandoned: its place is free, its
 *   outcome does not count, and the to-do is not started again before the call ends. What it does late it may do twice.
 */
import { setImmediate } from 'node:timers/promises';
import { Sampled, counter, sharedAbort, type Logger } from '@app/platform';
import { encodeToDo, type DueToDo, type DueTodos, type ToDo, TODO_AGAIN_MS, TO_DO_KINDS } from '@app/registry';
import { StaleOwnerError, type Grant } from '@app/sharding';
import type { ToDoKind, ToDoKinds } from './todo-catalogue.js';

/** Most abandoned calls in this process. Above it a to-do keeps its place until its call ends. */
const MOST_ABANDONED = 10_000;

/** Most to-dos of one kind that wait for a place in this process. */
const MOST_WAITING = 10_000;

const done = counter('todos_done', 'To-dos done, by kind.', { kind: TO_DO_KINDS });

interface Running {
  /** With the due time at which it is stored now: it is removed with that, unless a commit has written it since. */
  todo: DueToDo;
  ended: Promise<void>;
  abort: AbortController;
  /** A commit has written it again: it runs once more. */
  again: DueToDo | undefined;
}

interface Waiting {
  grant: Grant;
  todo: DueToDo;
  /** By then housekeeping has brought it up again, or another process owns its shard. */
  until: number;
}

export class ToDoRunner {
  private readonly running = new Map<string, Running>();
  private readonly counts = new Map<ToDo['do'], number>();
  /** By kind and name, in the order in which they came. */
  private readonly waiting = new Map<ToDo['do'], Map<string, Waiting>>();
  /** To-dos that one call of the script will remove. */
  private readonly removals = new Map<Grant, { todos: DueToDo[]; removed: Promise<void> }>();
  /** Names of to-dos whose call was abandoned and has not ended. */
  private readonly abandoned = new Set<string>();
  private readonly warnings = new Sampled();
  private readonly stopping = sharedAbort();

  /** @throws Error if a kind of to-do has no handler */
  constructor(
    private readonly kinds: ToDoKinds,
    private readonly due: Pick<DueTodos, 'done'>,
    private readonly logger: Logger,
  ) {
    const missing = TO_DO_KINDS.filter((kind) => !Object.hasOwn(kinds, kind));
    if (missing.length > 0) {
      throw new Error(`no handler for to-dos of the kind ${missing.join(', ')}: add one to todo-catalogue.ts`);
    }
  }

  /** Starts to-dos that a commit has just written, within the limits; returns at once. */
  begin(grant: Grant, todos: readonly DueToDo[]): void {
    for (const todo of todos) {
      const running = this.running.get(nameOf(grant, todo.todo));
      if (running === undefined) this.start(grant, todo);
      else running.again = todo;
    }
  }

  /** A commit has removed these to-dos: aborts those that are running. */
  withdraw(grant: Grant, todos: readonly ToDo[]): void {
    if (this.running.size === 0) return;
    for (const todo of todos) {
      const name = nameOf(grant, todo);
      this.waiting.get(todo.do)?.delete(name);
      const running = this.running.get(name);
      if (running === undefined) continue;
      running.again = undefined;
      running.abort.abort();
    }
  }

  /** Starts to-dos that have come up again and are not running, within the limits; returns at once. */
  resume(grant: Grant, todos: readonly DueToDo[]): void {
    for (const todo of todos) {
      const running = this.running.get(nameOf(grant, todo.todo));
      if (running === undefined) this.start(grant, todo);
      else running.todo = todo;
    }
  }

  /** Aborts what waits for the broker, which comes up again, and waits for the rest. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const { abort } of this.running.values()) abort.abort();
    await Promise.all(Array.from(this.running.values(), ({ ended }) => ended));
  }

  private start(grant: Grant, todo: DueToDo): void {
    const kind = todo.todo.do;
    const count = this.counts.get(kind) ?? 0;
    const name = nameOf(grant, todo.todo);
    if (this.stopping.signal.aborted || this.abandoned.has(name)) return;
    if (count >= this.kinds[kind].most) {
      this.wait(name, grant, todo);
      return;
    }
    this.counts.set(kind, count + 1);
    const abort = new AbortController();
    const running: Running = { todo, abort, again: undefined, ended: Promise.resolve() };
    this.running.set(name, running);
    running.ended = this.run(grant, name, running).finally(() => {
      this.running.delete(name);
      this.counts.set(kind, (this.counts.get(kind) ?? 1) - 1);
      if (running.again !== undefined) this.start(grant, running.again);
      this.startWaiting(kind);
    });
  }

  private wait(name: string, grant: Grant, todo: DueToDo): void {
    const kind = todo.todo.do;
    const waiting = this.waiting.get(kind) ?? new Map<string, Waiting>();
    this.waiting.set(kind, waiting);
    if (waiting.size >= MOST_WAITING && !waiting.has(name)) return;
    waiting.set(name, { grant, todo, until: performance.now() + TODO_AGAIN_MS });
  }

  /** A place is free. */
  private startWaiting(kind: ToDo['do']): void {
    const waiting = this.waiting.get(kind);
    if (waiting === undefined) return;
    for (const [name, { grant, todo, until }] of waiting) {
      if ((this.counts.get(kind) ?? 0) >= this.kinds[kind].most) return;
      waiting.delete(name);
      if (performance.now() < until) this.start(grant, todo);
    }
  }

  /** Never rejects. */
  private async run(grant: Grant, name: string, running: Running): Promise<void> {
    const {
      abort,
      todo: { todo },
    } = running;
    // The catalogue has a handler for each kind. The compiler does not relate it to the kind of this to-do.
    const kind = this.kinds[todo.do] as ToDoKind<ToDo>;
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<'overdue'>((resolve) => {
      timer = setTimeout(() => {
        abort.abort();
        if (kind.atTimeout === 'abandon' && this.abandoned.size < MOST_ABANDONED) resolve('overdue');
      }, kind.timeoutMs);
    });
    try {
      const call = kind.run(todo, { grant, signal: abort.signal, stopping: this.stopping.signal });
      const outcome = await Promise.race([call, overdue]);
      if (outcome === 'overdue') this.abandon(name, call, running, grant);
      if (outcome !== 'done') return;
      if (kind.removedBy === 'runner') await this.remove(grant, running.todo);
      done.inc({ kind: todo.do });
    } catch (error) {
      this.warn(grant, todo, error);
    } finally {
      clearTimeout(timer);
    }
  }

  private abandon(name: string, call: Promise<unknown>, { todo: { todo } }: Running, grant: Grant): void {
    this.abandoned.add(name);
    void call.catch((error: unknown) => this.warn(grant, todo, error)).finally(() => this.abandoned.delete(name));
    this.warn(grant, todo, new Error('Redis did not answer within the time limit of the to-do'));
  }

  private warn(grant: Grant, todo: ToDo, error: unknown): void {
    if (error instanceof StaleOwnerError) return;
    this.warnings.take((skipped) =>
      this.logger.warn({ err: error, shard: grant.index, kind: todo.do, skipped }, 'a to-do failed; it comes up again'),
    );
  }

  /** All to-dos that finish in one turn of the event loop are removed by one call of the script. */
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
