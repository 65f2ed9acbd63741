/** The views and their addresses. What a view shows is in its address, filters included, so that it can be shared. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { Frame } from './frame.js';
import { NotFound, RouteFailure } from './route-failure.js';
import { connectionsSearch } from '../views/connections/search.js';
import { messagesSearch } from '../views/messages/search.js';
import { eventsSearch } from '../views/events/search.js';

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound, errorComponent: RouteFailure });

const overview = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('../views/overview/overview.js'), 'Overview'),
});

const connections = createRoute({
  getParentRoute: () => root,
  path: '/connections',
  validateSearch: connectionsSearch,
  component: lazyRouteComponent(() => import('../views/connections/connections.js'), 'Connections'),
});

const connection = createRoute({
  getParentRoute: () => root,
  path: '/connections/$clientId',
  component: lazyRouteComponent(() => import('../views/connection/connection.js'), 'Connection'),
});

const messages = createRoute({
  getParentRoute: () => root,
  path: '/messages',
  validateSearch: messagesSearch,
  component: lazyRouteComponent(() => import('../views/messages/messages.js'), 'Messages'),
});

const message = createRoute({
  getParentRoute: () => root,
  path: '/messages/$messageId',
  component: lazyRouteComponent(() => import('../views/messages/message.js'), 'MessageView'),
});

const events = createRoute({
  getParentRoute: () => root,
  path: '/events',
  validateSearch: eventsSearch,
  component: lazyRouteComponent(() => import('../views/events/events.js'), 'Events'),
});

const cluster = createRoute({
  getParentRoute: () => root,
  path: '/cluster',
  component: lazyRouteComponent(() => import('../views/cluster/cluster.js'), 'ClusterView'),
});

const deadLetters = createRoute({
  getParentRoute: () => root,
  path: '/dead-letters',
  component: lazyRouteComponent(() => import('../views/dead-letters/dead-letters.js'), 'DeadLetters'),
});

export const router = createRouter({
  routeTree: root.addChildren([overview, connections, connection, messages, message, events, cluster, deadLetters]),
  basepath: import.meta.env.BASE_URL,
  defaultPreload: 'intent',
  scrollRestoration: false,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
