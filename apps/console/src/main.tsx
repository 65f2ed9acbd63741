import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { queryClient } from './api/queries.js';
import { router } from './app/router.js';
import { applyTheme } from './app/theme.js';
import { AccessGate } from './log-in/access-gate.js';
import { LogInReturn } from './log-in/log-in-return.js';
import './styles/tokens.css';
import './styles/base.css';

applyTheme();
const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <LogInReturn>
        <AccessGate>
          <RouterProvider router={router} />
        </AccessGate>
      </LogInReturn>
    </QueryClientProvider>
  </StrictMode>,
);
