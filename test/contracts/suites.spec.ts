/** `npm test` fails if a suite that belongs to it did not run, and starts the slowest files first. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import jestConfig from '../../jest.config.cjs';
import { SLOWEST } from '../../scripts/slowest-first.mjs';
import { CHECKS, SEPARATE, findSpecs, notRun, timeTable, type SpecRun } from '../../scripts/suites.mjs';

const ROOT = join(__dirname, '../..');

const checks = CHECKS.map((name) => ({ name, seconds: 1 }));
const spec = (project: string, file: string, passed = 1): SpecRun => ({ project, file, seconds: 2, passed, failed: 0 });
const all = { checks, runs: [spec('unit', 'libs/a.spec.ts'), spec('e2e', 'test/b.spec.ts')] };
const expected = { projects: ['unit', 'e2e'], specs: ['libs/a.spec.ts', 'test/b.spec.ts'] };

describe('notRun', () => {
  it('reports nothing if every check, project and spec ran', () => {
    expect(notRun(expected, all)).toEqual([]);
  });

  it('reports a check that did not run', () => {
    expect(notRun(expected, { ...all, checks: checks.slice(1) })).toEqual(['lint did not run']);
  });

  it('reports a project that ran no spec, though another project ran its files', () => {
    expect(notRun({ ...expected, projects: ['unit', 'e2e', 'e2e-cluster'] }, all)).toEqual([
      'the project e2e-cluster ran no spec',
    ]);
  });

  it('reports a spec that no project matches', () => {
    expect(notRun({ ...expected, specs: [...expected.specs, 'bench/c.spec.ts'] }, all)).toEqual([
      'bench/c.spec.ts did not run: no project of jest.config.cjs matches it',
    ]);
  });

  it('reports a spec whose tests were all skipped', () => {
    expect(
      notRun(expected, { checks, runs: [spec('unit', 'libs/a.spec.ts'), spec('e2e', 'test/b.spec.ts', 0)] }),
    ).toEqual(['test/b.spec.ts ran no test in the project e2e']);
  });

  it('counts a spec as run if its only test failed: Jest reports the failure', () => {
    const [unit, e2e] = all.runs;
    expect(notRun(expected, { checks, runs: [unit, { ...e2e, passed: 0, failed: 1 }] as SpecRun[] })).toEqual([]);
  });

  it('reports one fault, not one a spec, if Jest ran nothing', () => {
    expect(notRun(expected, { checks, runs: [] })).toEqual(['Jest ran no spec']);
  });
});

describe('findSpecs', () => {
  it('finds the specs beside the code and those of test, and none of node_modules or dist', () => {
    const specs = findSpecs(ROOT);
    expect(specs).toContain('test/contracts/suites.spec.ts');
    expect(specs.filter((path) => path.startsWith('libs/')).length).toBeGreaterThan(30);
    expect(specs.filter((path) => /(^|\/)(node_modules|dist)\//.test(path))).toEqual([]);
  });
});

describe('a project that npm test leaves out', () => {
  it('is one of jest.config.cjs, with specs in the folder of its name, which findSpecs does not list', () => {
    const { projects } = jestConfig as { projects: { displayName: string }[] };
    expect(projects.map(({ displayName }) => displayName)).toEqual(expect.arrayContaining(SEPARATE));
    for (const name of SEPARATE) {
      const folder = join('test', name);
      expect(readdirSync(join(ROOT, folder)).filter((file) => file.endsWith('.spec.ts'))).not.toEqual([]);
      expect(findSpecs(ROOT).filter((path) => path.startsWith(`${folder}/`))).toEqual([]);
    }
  });
});

describe('SlowestFirst', () => {
  it('names spec files that exist', () => {
    const specs = findSpecs(ROOT);
    expect(SLOWEST.filter((name) => !specs.includes(name.split(' ')[1] ?? ''))).toEqual([]);
  });
});

describe('timeTable', () => {
  it('has a line for each check, then for each project, the longest first', () => {
    const runs = [spec('unit', 'libs/a.spec.ts'), spec('e2e', 'test/b.spec.ts', 3), spec('e2e', 'test/c.spec.ts', 4)];
    expect(
      timeTable({ checks: checks.slice(0, 1), runs })
        .split('\n')
        .slice(1, 4),
    ).toEqual(['     1.0  lint', '     4.0  e2e (2 files, 7 tests)', '     2.0  unit (1 file, 1 tests)']);
  });
});
