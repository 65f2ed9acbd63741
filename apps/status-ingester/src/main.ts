import { checkNode } from '@app/platform/check-node';

checkNode('status-ingester');
await import('./start.js');
