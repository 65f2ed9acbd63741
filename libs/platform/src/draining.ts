import { Injectable, type OnModuleDestroy } from '@nestjs/common';

/** Set as the first act of a graceful stop (S6): the app reports unready and takes nothing new in. */
@Injectable()
export class Draining implements OnModuleDestroy {
  private begun = false;

  get started(): boolean {
    return this.begun;
  }

  onModuleDestroy(): void {
    this.begun = true;
  }
}
