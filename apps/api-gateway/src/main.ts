import { checkNode } from '@app/platform/check-node';

checkNode('api-gateway');
await import('./start.js');
