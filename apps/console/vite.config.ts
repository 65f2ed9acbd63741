import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const pathOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** A gateway for `npm run dev`. */
const GATEWAY = { target: process.env['GATEWAY_URL'] ?? 'http://127.0.0.1:3000', changeOrigin: false };

export default defineConfig({
  root: pathOf('.'),
  base: '/console/',
  plugins: [compressFiles()],
  resolve: { alias: { '@cloud-connector/client': pathOf('../../libs/client/src/index.ts') } },
  build: {
    outDir: pathOf('../../dist/console'),
    emptyOutDir: true,
    target: 'es2023',
    // The content security policy allows no script and no image in the page itself.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // Compression takes most of the time, as it should.
      checks: { bundlerTimings: false },
      // Libraries mark what a server may not render; nothing is rendered on a server.
      onLog: (level, log, report) => {
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') report(level, log);
      },
    },
  },
  server: { proxy: { '/v1': GATEWAY, '/console/settings.json': GATEWAY } },
});

/** Writes a `.br` and a `.gz` beside each file, so that the gateway compresses nothing. */
function compressFiles(): Plugin {
  return {
    name: 'compress-files',
    apply: 'build',
    writeBundle({ dir = '' }, files): void {
      for (const name of Object.keys(files)) {
        const path = join(dir, name);
        const source = readFileSync(path);
        writeFileSync(`${path}.br`, brotliCompressSync(source));
        writeFileSync(`${path}.gz`, gzipSync(source, { level: 9 }));
      }
    },
  };
}
