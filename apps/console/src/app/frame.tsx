/** What surrounds each view: navigation, the caller, the theme. */
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { useAccess, type Scope } from '../api/access.js';
import { useOutage } from '../api/use-state-of-service.js';
import { Button } from '../ui/button.js';
import styles from './frame.module.css';
import { Notices } from './notices.js';
import { applyTheme, chosenTheme, nextTheme } from './theme.js';

const VIEWS = [
  { to: '/', label: 'Overview', scope: 'connections:read' },
  { to: '/connections', label: 'Connections', scope: 'connections:read' },
  { to: '/messages', label: 'Messages', scope: 'messages:read' },
  { to: '/events', label: 'Events', scope: 'events:read' },
  { to: '/cluster', label: 'Cluster', scope: 'cluster:read' },
  { to: '/dead-letters', label: 'Dead letters', scope: 'cluster:read' },
] as const satisfies readonly { to: string; label: string; scope: Scope }[];

export function Frame(): ReactNode {
  const { caller, can, hasKey, logOut } = useAccess();
  const { pathname } = useLocation();
  const [theme, setTheme] = useState(chosenTheme);
  const nav = useRef<HTMLElement>(null);
  const main = useRef<HTMLElement>(null);
  const first = useRef(pathname);
  const outage = useOutage();
  useEffect(() => applyTheme(theme), [theme]);
  useEffect(() => {
    document.title = titleOf(pathname);
    // On a phone the views do not all have room: the one that is open is brought into sight.
    const active = nav.current?.querySelector<HTMLElement>('[data-status=active]');
    if (active) nav.current?.scrollTo({ left: active.offsetLeft - nav.current.clientWidth / 2 });
    // Whoever uses a keyboard or a screen reader goes on at the begin of the new view.
    if (first.current !== pathname) main.current?.focus();
    first.current = pathname;
  }, [pathname]);

  return (
    <div className={styles.frame}>
      <a className={styles.skip} href="#main">
        Skip to the content
      </a>
      <header className={styles.head}>
        <Link to="/" className={styles.brand}>
          <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="24" height="24" />
          Cloud Connector
        </Link>
        <nav ref={nav} aria-label="Views" className={styles.nav}>
          {VIEWS.filter(({ scope }) => can(scope)).map(({ to, label }) => (
            <Link key={to} to={to} activeOptions={{ exact: to === '/' }} className={styles.link}>
              {label}
            </Link>
          ))}
        </nav>
        <div className={styles.caller}>
          <span title={`Scopes: ${caller.scopes.join(', ')}`}>
            {caller.id}
            {caller.account !== null && ` · account ${caller.account}`}
          </span>
          <Button tone="quiet" small onClick={() => setTheme(nextTheme(theme))}>
            <span className={styles.word}>Theme:</span>
            {theme}
          </Button>
          {hasKey && (
            <Button tone="quiet" small onClick={logOut}>
              Log out
            </Button>
          )}
        </div>
      </header>
      <main ref={main} id="main" tabIndex={-1} className={styles.main}>
        <Notices />
        <div className={outage ? `${styles.view} ${styles.old}` : styles.view}>
          <Outlet />
        </div>
      </main>
    </div>
  );
}

function titleOf(pathname: string): string {
  const [view = '', id] = pathname.split('/').filter((part) => part !== '' && part !== 'console');
  const label = VIEWS.find(({ to }) => to === `/${view}`)?.label ?? 'Overview';
  return `${id === undefined ? label : decodeURIComponent(id)} · Cloud Connector`;
}
