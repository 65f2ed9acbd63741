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
    {
      name: 'folders-never-import-the-wiring',
      comment: 'Module, lifecycle and settings of an app stand on its features; a feature has its own `*.settings.ts`.',
      severity: 'error',
      from: { path: '^apps/(api-gateway|dispatcher)/src/[^/]+/' },
      to: { path: '^apps/$1/src/[^/]+$' },
    },
    {
      name: 'gateway-http-knows-no-feature',
      severity: 'error',
      from: { path: '^apps/api-gateway/src/http/' },
      to: { path: '^apps/api-gateway/src/(?!http/)' },
    },
    {
      name: 'gateway-access-stands-on-http-alone',
      severity: 'error',
      from: { path: '^apps/api-gateway/src/access/' },
      to: { path: '^apps/api-gateway/src/(?!access/|http/)' },
    },
    {
      name: 'gateway-features-do-not-know-each-other',
      comment: 'They meet in the registry. The event stream shows what a sweep corrected as the cluster feature does.',
      severity: 'error',
      from: { path: '^apps/api-gateway/src/(connections|messages|events|cluster)/' },
      to: {
        path: '^apps/api-gateway/src/',
        pathNot: ['^apps/api-gateway/src/($1|access|http)/', '^apps/api-gateway/src/cluster/sweep\\.dto\\.ts$'],
      },
    },
    {
      name: 'no-folder-cycles',
      comment: 'Folders of an app or a lib can be read in one order.',
      severity: 'error',
      scope: 'folder',
      from: { path: '^(apps/(api-gateway|dispatcher)|libs)/' },
      to: { circular: true },
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
