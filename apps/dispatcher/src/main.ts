import { checkNode } from '@app/platform/check-node';

checkNode('dispatcher');
await import('./start.js');
