import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** A gateway for `npm run dev`. */
const GATEWAY = { target: process.env['GATEWAY_URL'] ?? 'http://127.0.0.1:3000', changeOrigin: false };

export default defineConfig({
  root: here('.'),
  base: '/console/',
  plugins: [react(), precompressed()],
  resolve: { alias: { '@cloud-connector/client': here('../../libs/client/src/index.ts') } },
  build: {
    outDir: here('../../dist/console'),
    emptyOutDir: true,
    target: 'es2023',
    // The content security policy allows no script and no image in the page itself.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Compression takes most of the time, as it should.
    rolldownOptions: { checks: { bundlerTimings: false } },
  },
  server: { proxy: { '/v1': GATEWAY, '/console/settings.json': GATEWAY } },
});

/** Writes a `.br` and a `.gz` beside each file, so that the gateway compresses nothing. */
function precompressed(): Plugin {
  return {
    name: 'precompressed',
    apply: 'build',
    writeBundle({ dir = '' }, bundle): void {
      for (const name of Object.keys(bundle)) {
        const path = join(dir, name);
        const source = readFileSync(path);
        writeFileSync(`${path}.br`, brotliCompressSync(source));
        writeFileSync(`${path}.gz`, gzipSync(source, { level: 9 }));
      }
    },
  };
}
