/**
 * Jest resolver. Everything is transformed to CommonJS, so Jest looks packages up under the condition `require`;
 * kubernetes-models exports itself under `import` alone. Only a last resort: where a package offers both, Jest's own
 * modules among them, the CommonJS build must win.
 */
module.exports = (request, options) => {
  try {
    return options.defaultResolver(request, options);
  } catch (error) {
    try {
      return options.defaultResolver(request, { ...options, conditions: [...(options.conditions ?? []), 'import'] });
    } catch {
      throw error;
    }
  }
};
