/**
 * In: clients whose account is not known. Out: their accounts, through the mailboxes of their shards.
 * Invariants: nothing waits for a slow answer; a question without an answer is repeated by its to-do.
 */
import { Module } from '@nestjs/common';
import { LOGGER, SETTINGS, type Logger } from '@app/platform';
import { Mailboxes } from '@app/sharding';
import { ShardingModule } from '../sharding/sharding.module.js';
import { AccountLookups } from './account-lookups.js';
import { accountResolver, type AccountSettings } from './accounts.settings.js';

@Module({
  imports: [ShardingModule],
  providers: [
    {
      // Undefined if accounts are not in use.
      provide: AccountLookups,
      inject: [Mailboxes, SETTINGS, LOGGER],
      useFactory: (mailboxes: Mailboxes, settings: AccountSettings, logger: Logger) => {
        const resolver = accountResolver(settings, logger);
        return resolver && new AccountLookups(resolver, mailboxes);
      },
    },
  ],
  exports: [AccountLookups],
})
export class AccountsModule {}
