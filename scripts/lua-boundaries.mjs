/** Includes of Lua files follow the rules for imports in `.dependency-cruiser.cjs`. */
import { readFileSync } from 'node:fs';
import { luaFiles, shown } from './lua-files.mjs';

/** Libraries whose includes a library may use besides its own. @type {Record<string, string[]>} */
const MAY_INCLUDE = { platform: [], sharding: ['platform'], registry: ['platform', 'sharding'] };

const files = [...luaFiles('commands'), ...luaFiles('commands/includes')];
const faults = files.flatMap((path) => {
  const [, library = ''] = shown(path).split('/');
  const allowed = [library, ...(MAY_INCLUDE[library] ?? [])];
  const includes = readFileSync(path, 'utf8').matchAll(/^--- @include "(?:([^"/]*)\/)?[^"]*"$/gm);
  return [...includes]
    .filter(([, target = library]) => !allowed.includes(target))
    .map(([line]) => `${shown(path)}: ${line}: ${library} may include only ${allowed.join(', ')}`);
});

for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exit(1);
console.log(`${files.length} Lua files, no include against the boundaries`);
