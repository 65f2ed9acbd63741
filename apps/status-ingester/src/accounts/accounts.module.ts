/**
 * In: clients whose account is not known. Out: their accounts, through the mailboxes of their shards.
 * Invariants: nothing waits for a slow answer; a question without an answer is repeated by its to-do.
 */
import { Module } from '@nestjs/common';
import { LOGGER, SETTINGS, type Logger } from '@app/platform';
import { Mailboxes } from '@app/sharding';
import { ShardingModule } from '../sharding/sharding.module.js';
import { AccountQuestions } from './account-questions.js';
import { accountResolver, type AccountSettings } from './accounts.settings.js';

@Module({
  imports: [ShardingModule],
  providers: [
    {
      // Undefined if accounts are not in use.
      provide: AccountQuestions,
      inject: [Mailboxes, SETTINGS, LOGGER],
      useFactory: (mailboxes: Mailboxes, settings: AccountSettings, logger: Logger) => {
        const resolver = accountResolver(settings, logger);
        return resolver && new AccountQuestions(resolver, mailboxes);
      },
    },
  ],
  exports: [AccountQuestions],
})
export class AccountsModule {}
