import { Injectable, type OnModuleDestroy } from '@nestjs/common';

/** Whether the process is shutting down (S6). A process that shuts down reports unready and accepts no new work. */
@Injectable()
export class Draining implements OnModuleDestroy {
  private begun = false;

  get started(): boolean {
    return this.begun;
  }

  begin(): void {
    this.begun = true;
  }

  onModuleDestroy(): void {
    this.begin();
  }
}
