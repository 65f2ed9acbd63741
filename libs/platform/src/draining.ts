import { Injectable, type OnModuleDestroy } from '@nestjs/common';

/** Set as the first act of a graceful stop (S6): the app reports unready and takes nothing new in. */
@Injectable()
export class Draining implements OnModuleDestroy {
  private readonly controller = new AbortController();

  get started(): boolean {
    return this.controller.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  onModuleDestroy(): void {
    this.controller.abort();
  }
}
