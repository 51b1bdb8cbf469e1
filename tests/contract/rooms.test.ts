import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

/** The fences between the rooms bite (docs/architecture.md): violations planted in an empty copy of the house are refused by Biome. */

const ROOT = path.join(import.meta.dirname, '../..');
const IMPORTS = 'lint/style/noRestrictedImports';

const REFUSED: { file: string; code: string; rule: string }[] = [
  ...[
    'zod',
    'node:crypto',
    'node:fs',
    '#application/login.ts',
    '#infrastructure/postgres/store.ts',
    '#http/route.ts',
    '#src/config.ts',
  ].map((from) => ({ file: 'src/domain', code: `import { x } from '${from}';\nexport const y = x;`, rule: IMPORTS })),
  { file: 'src/domain', code: "import type { X } from '#application/ports/store.ts';\nexport type Y = X;", rule: IMPORTS },
  { file: 'src/domain', code: "export const y = () => import('node:fs');", rule: IMPORTS },
  ...['fastify', 'zod', 'node:fs', '#infrastructure/postgres/store.ts', '#http/views.ts', '#src/config.ts', '../infrastructure/x.ts'].map(
    (from) => ({ file: 'src/application', code: `import { x } from '${from}';\nexport const y = x;`, rule: IMPORTS }),
  ),
  { file: 'src/application', code: "import type { X } from '#http/route.ts';\nexport type Y = X;", rule: IMPORTS },
  ...['#http/route.ts', '#cli/keys.ts', '#src/compose.ts', '#tests/support/clock.ts', '../../http/route.ts'].map((from) => ({
    file: 'src/infrastructure/redis',
    code: `import { x } from '${from}';\nexport const y = x;`,
    rule: IMPORTS,
  })),
  ...['#infrastructure/postgres/store.ts', '#cli/keys.ts', '#src/compose.ts', '../../infrastructure/x.ts'].map((from) => ({
    file: 'src/http/routes',
    code: `import { x } from '${from}';\nexport const y = x;`,
    rule: IMPORTS,
  })),
  ...['../infrastructure/postgres/store.ts', '../config.ts', '../settings/schemas.ts', '../cli/keys.ts'].map((from) => ({
    file: 'src/http',
    code: `import { x } from '${from}';\nexport const y = x;`,
    rule: IMPORTS,
  })),
  ...['../http/route.ts', '../settings/schemas.ts'].map((from) => ({
    file: 'src/infrastructure',
    code: `import { x } from '${from}';\nexport const y = x;`,
    rule: IMPORTS,
  })),
  { file: 'src/domain', code: 'export const y = process.env;', rule: 'lint/style/noProcessEnv' },
  { file: 'src/http', code: "import process from 'node:process';\nexport const y = process.env;", rule: 'lint/style/noProcessEnv' },
  { file: 'src/infrastructure', code: "console.log('x');\nexport const y = 1;", rule: 'lint/suspicious/noConsole' },
  { file: 'src/application', code: "export * from './login.ts';", rule: 'lint/performance/noReExportAll' },
  { file: 'src/application', code: 'export const y = (x: string | null) => x!;', rule: 'lint/style/noNonNullAssertion' },
  { file: 'src/application', code: 'export const y = (x: any) => x;', rule: 'lint/suspicious/noExplicitAny' },
];

const ALLOWED: { file: string; code: string }[] = [
  { file: 'src/domain', code: "import { x } from './email.ts';\nexport const y = x;" },
  ...['#domain/email.ts', './mails.ts', './ports/store.ts', 'node:crypto'].map((from) => ({
    file: 'src/application',
    code: `import { x } from '${from}';\nexport const y = x;`,
  })),
  ...['#application/ports/store.ts', '#domain/email.ts', 'postgres', 'node:fs', './x.ts', '../crypto/base64url.ts'].map((from) => ({
    file: 'src/infrastructure/redis',
    code: `import { x } from '${from}';\nexport const y = x;`,
  })),
  ...['#application/login.ts', '#domain/problems.ts', 'fastify', 'zod', '../route.ts'].map((from) => ({
    file: 'src/http/routes',
    code: `import { x } from '${from}';\nexport const y = x;`,
  })),
  {
    file: 'src',
    code: "import { x } from '#infrastructure/postgres/store.ts';\nimport { z } from '#http/route.ts';\nexport const y = [x, z];",
  },
];

const copy = mkdtempSync(path.join(tmpdir(), 'latchkey-rooms-'));
afterAll(() => rmSync(copy, { recursive: true, force: true }));

function plant(name: string, folder: string, code: string): string {
  const file = path.join(folder, `${name}.ts`);
  mkdirSync(path.join(copy, folder), { recursive: true });
  writeFileSync(path.join(copy, file), `${code}\n`);
  return file;
}

/** Plants everything, asks Biome once. @returns the rules that each file breaks */
function lint(): { broken: Map<string, string[]>; refused: string[]; allowed: string[]; cycle: string[] } {
  for (const file of ['biome.json', 'package.json']) cpSync(path.join(ROOT, file), path.join(copy, file));
  const refused = REFUSED.map(({ file, code }, index) => plant(`refused-${index}`, file, code));
  const allowed = ALLOWED.map(({ file, code }, index) => plant(`allowed-${index}`, file, code));
  const cycle = [
    plant('one', 'src/application', "import { two } from './two.ts';\nexport const one: unknown = () => two;"),
    plant('two', 'src/application', "import { one } from './one.ts';\nexport const two: unknown = () => one;"),
  ];
  const biome = path.join(ROOT, 'node_modules/.bin/biome');
  const { stdout } = spawnSync(biome, ['lint', '--vcs-enabled=false', '--max-diagnostics=none', '--reporter=json', '.'], {
    cwd: copy,
    encoding: 'utf8',
  });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { severity: string; category: string; location: { path: string } }[] };
  const broken = new Map<string, string[]>();
  for (const { severity, category, location } of diagnostics) {
    if (severity === 'error') broken.set(location.path, [...(broken.get(location.path) ?? []), category]);
  }
  return { broken, refused, allowed, cycle };
}

const { broken, refused, allowed, cycle } = lint();

describe('the fences between the rooms', () => {
  it.each(REFUSED.map((planted, index) => ({ ...planted, index })))('refuse in $file: $code', ({ index, rule }) => {
    expect(broken.get(refused[index] ?? '') ?? []).toContain(rule);
  });

  it.each(ALLOWED.map((planted, index) => ({ ...planted, index })))('let pass in $file: $code', ({ index }) => {
    expect(broken.get(allowed[index] ?? '') ?? []).toEqual([]);
  });

  it('refuse a cycle of imports', () => {
    for (const file of cycle) expect(broken.get(file)).toContain('lint/suspicious/noImportCycles');
  });
});
