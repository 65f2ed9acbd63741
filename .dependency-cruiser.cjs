/** Import boundaries: apps → libs, `protocol` ← everyone, `sharding` knows neither broker nor registry. */
module.exports = {
  forbidden: [
    {
      name: 'app-never-imports-app',
      comment: 'Apps speak to each other through Redis and the broker only.',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'libs-never-import-apps',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^apps/' },
    },
    {
      name: 'protocol-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^libs/protocol/' },
      to: { path: '^(apps|libs)/', pathNot: '^libs/protocol/' },
    },
    {
      name: 'sharding-knows-neither-broker-nor-registry',
      severity: 'error',
      from: { path: '^libs/sharding/' },
      to: { path: '^libs/(broker|registry)/|node_modules/mqtt/' },
    },
    {
      name: 'platform-imports-no-domain',
      comment: 'Platform is what any service would need; the domain stands on it, not the other way round.',
      severity: 'error',
      from: { path: '^libs/platform/' },
      to: { path: '^libs/(protocol|sharding|registry|broker)/' },
    },
    {
      name: 'libs-are-entered-by-their-index',
      severity: 'error',
      from: { path: '^(apps|libs)/([^/]+)/' },
      to: {
        path: '^libs/[^/]+/src/',
        pathNot: ['^libs/[^/]+/src/index\\.ts$', '^libs/platform/src/check-node\\.ts$', '^$1/$2/'],
      },
    },
    {
      name: 'client-imports-nothing-of-ours',
      comment: 'It is published, and knows the service by its OpenAPI document alone.',
      severity: 'error',
      from: { path: '^libs/client/' },
      to: { path: '^(apps|libs)/', pathNot: '^libs/client/' },
    },
    {
      name: 'apps-never-import-the-client',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: '^libs/client/' },
      to: { path: '^libs/client/' },
    },
    {
      name: 'client-runs-anywhere',
      comment: 'Of the published package, the command-line tool alone needs Node.',
      severity: 'error',
      from: { path: '^libs/client/src/', pathNot: '^libs/client/src/cli/' },
      to: { dependencyTypes: ['core'] },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.spec\\.ts$' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
