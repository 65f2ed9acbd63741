const { existsSync, readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');

/**
 * The packages of node_modules that are ES modules. Jest 30 on Node 20 cannot require() them, so they are transformed to
 * CommonJS, like our own code.
 */
function esmPackages(root = join(__dirname, 'node_modules')) {
  const names = readdirSync(root).flatMap((entry) =>
    entry.startsWith('@') ? readdirSync(join(root, entry)).map((sub) => `${entry}/${sub}`) : [entry],
  );
  return names.filter((name) => {
    const manifest = join(root, name, 'package.json');
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).type === 'module';
  });
}

const base = {
  // Some packages export only under the condition "import", which require() does not use.
  resolver: '<rootDir>/test/contracts/import-condition.cjs',
  rootDir: __dirname,
  testEnvironment: 'node',
  // The built client has the name of its source.
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  transform: {
    '^.+\\.(ts|mjs|js)$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'commonjs', ignoreDynamic: false },
      },
    ],
  },
  // The dependencies of string-width are ES modules too, below it: the root has older versions of them, in CommonJS.
  transformIgnorePatterns: [`^(?!.*/string-width/node_modules/).*/node_modules/(?!(${esmPackages().join('|')})/)`],
  moduleNameMapper: {
    '^@app/(protocol|sharding|registry|broker|platform|client)$': '<rootDir>/libs/$1/src/index.ts',
    '^@cloud-connector/client$': '<rootDir>/libs/client/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
};

module.exports = {
  // Long, for a busy machine: what a test waits for has a time limit of its own, which is shorter.
  testTimeout: 120_000,
  // Even a single worker is a process of its own, and a new one takes its place when it has grown.
  workerIdleMemoryLimit: '1GB',
  projects: [
    { ...base, displayName: 'unit', testMatch: ['<rootDir>/{apps,libs}/**/*.spec.ts'] },
    { ...base, displayName: 'contracts', testMatch: ['<rootDir>/test/contracts/**/*.spec.ts'] },
    { ...base, displayName: 'cluster', testMatch: ['<rootDir>/test/cluster/!(ring).spec.ts'] },
    { ...base, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.spec.ts'] },
    // The same suites, on a Redis Cluster of three masters.
    {
      ...base,
      displayName: 'e2e-cluster',
      testMatch: ['<rootDir>/test/e2e/{story,crash,events}.spec.ts'],
      globals: { REDIS_TOPOLOGY: 'cluster' },
    },
    {
      ...base,
      displayName: 'cluster-ring',
      testMatch: [`<rootDir>/test/cluster/${process.env.RING_SPECS ?? '!(witness|redelivery)'}.spec.ts`],
      globals: { REDIS_TOPOLOGY: 'cluster' },
    },
    { ...base, displayName: 'security', testMatch: ['<rootDir>/test/security/**/*.spec.ts'] },
    { ...base, displayName: 'fuzz', testMatch: ['<rootDir>/test/fuzz/**/*.spec.ts'] },
    { ...base, displayName: 'console', testMatch: ['<rootDir>/test/console/**/*.spec.ts'] },
    { ...base, displayName: 'conformance', testMatch: ['<rootDir>/test/conformance/**/*.spec.ts'] },
    { ...base, displayName: 'outbound', testMatch: ['<rootDir>/test/outbound/**/*.spec.ts'] },
    { ...base, displayName: 'generators', testMatch: ['<rootDir>/test/generators/**/*.spec.ts'] },
    { ...base, displayName: 'upgrade', testMatch: ['<rootDir>/test/upgrade/**/*.spec.ts'] },
    { ...base, displayName: 'agreement', testMatch: ['<rootDir>/test/agreement/**/*.spec.ts'] },
    // `npm test` leaves it out: it needs Go and Java, and `npm run test:brokers` builds the brokers first.
    { ...base, displayName: 'brokers', testMatch: ['<rootDir>/test/brokers/**/*.spec.ts'] },
  ],
};
