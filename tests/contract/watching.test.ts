import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { AUDIT_EVENTS } from '#domain/audit-event.ts';
import { newEmail, PASSWORD, signedInPerson, tryLogin } from '#tests/support/people.ts';
import { has } from '#tests/support/programs.ts';
import { startService, type TestService } from '#tests/support/service.ts';

/** The dashboard, the alerts and the page about them, held against what the service really exports. */

type Panel = {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string }[];
};
type Alert = { alert: string; expr: string; labels: Record<string, string>; annotations: Record<string, string> };

const ALERTS = 'deploy/prometheus/alerts.yaml';
const TOKEN = 'the token of the tests for dashboards';
const dashboard = JSON.parse(readFileSync('deploy/grafana/latchkey.json', 'utf8')) as { panels: Panel[] };
const alerts = (parse(readFileSync(ALERTS, 'utf8')) as { groups: { rules: Alert[] }[] }).groups.flatMap(({ rules }) => rules);
const page = readFileSync('docs/observability.md', 'utf8');
const expressions = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: `panel ${title}`, expr }))),
  ...alerts.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })),
];

let service: TestService;
/** By name: the labels of each metric that is exported. */
const exported = new Map<string, Set<string>>();

beforeAll(async () => {
  service = await startService({ settings: { METRICS_TOKEN: TOKEN } });
  const person = await signedInPerson(service);
  await tryLogin(service.api(), { email: newEmail(), password: PASSWORD });
  await service.api().get('/api/auth/me', person.accessToken);
  const text = await (await fetch(`${service.origin}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text();
  for (const [, name = '', labels = ''] of text.matchAll(/^(latchkey_\w+)(?:\{(.*)\})? \S+$/gm)) {
    const known = exported.get(name) ?? new Set();
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
    exported.set(name, known);
  }
});
afterAll(() => service.stop());

/** Each metric that an expression names, and the labels that it asks for there. Prometheus itself adds `instance`. */
function named(expr: string): { name: string; labels: string[] }[] {
  return [...expr.matchAll(/(latchkey_\w+)(?:\{([^}]*)\})?/g)].map(([, name = '', selector = '']) => ({
    name,
    labels: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label).filter((label) => label !== 'instance'),
  }));
}

describe('the dashboard and the alerts', () => {
  it('name metrics that the service exports, with labels that these have', () => {
    expect(exported.size).toBeGreaterThan(30);
    for (const { where, expr } of expressions) {
      const all = named(expr);
      expect(all.length, where).toBeGreaterThan(0);
      for (const { name, labels } of all) {
        expect(exported.has(name), `${where}: ${name}`).toBe(true);
        for (const label of labels) expect(exported.get(name)?.has(label), `${where}: ${name} has no label ${label}`).toBe(true);
      }
    }
  });

  it('name routes and types of events that exist', () => {
    const urls = new Set(service.routes.map((route) => route.path));
    for (const { where, expr } of expressions) {
      for (const [, route = ''] of expr.matchAll(/route="([^"]+)"/g)) expect(urls.has(route), `${where}: ${route}`).toBe(true);
      for (const [, types = ''] of expr.matchAll(/type=~?"([^"]+)"/g))
        for (const type of types.split('|')) expect(Object.keys(AUDIT_EVENTS), where).toContain(type);
    }
  });

  it('show every metric of our own', () => {
    const shown = new Set(expressions.flatMap(({ expr }) => named(expr)).map(({ name }) => name.replace(/_(bucket|count|sum)$/, '')));
    const own = [...exported.keys()]
      .map((name) => name.replace(/_(bucket|count|sum)$/, ''))
      .filter((name) => !/_(nodejs|process)_/.test(name));
    expect([...new Set(own)].filter((name) => !shown.has(name))).toEqual([]);
  });

  it('have panels that do not cover each other', () => {
    const panels = dashboard.panels;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos: at } of panels) {
      expect(at.x + at.w, title).toBeLessThanOrEqual(24);
      for (let x = at.x; x < at.x + at.w; x++) {
        for (let y = at.y; y < at.y + at.h; y++) {
          expect(taken.get(`${x} ${y}`), title).toBeUndefined();
          taken.set(`${x} ${y}`, title);
        }
      }
    }
  });

  it('lead from each alert to a section that says what to do', () => {
    const headings = new Set(
      [...page.matchAll(/^#+ (.+)$/gm)].map(([, text = '']) =>
        text
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    for (const { alert, annotations, labels } of alerts) {
      expect(annotations['summary'], alert).toBeTruthy();
      expect(['critical', 'warning'], alert).toContain(labels['severity']);
      const [file, section = ''] = (annotations['runbook'] ?? '').split('#');
      expect(file, alert).toBe('docs/observability.md');
      expect(headings.has(section), `${alert}: ${section}`).toBe(true);
    }
  });

  it('are explained: the page knows every metric of our own, and names none that is not there', () => {
    const names = new Set([...page.matchAll(/\blatchkey_\w+/g)].map(([name]) => name));
    const all = new Set([...exported.keys()].map((name) => name.replace(/_(bucket|count|sum)$/, '')));
    expect([...all].filter((name) => !/_(nodejs|process)_/.test(name) && !names.has(name))).toEqual([]);
    expect([...names].filter((name) => !all.has(name))).toEqual([]);
  });
});

describe.runIf(has('promtool'))('held against Prometheus itself', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-promtool-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const promtool = (...args: string[]) => execFileSync('promtool', args, { encoding: 'utf8', stdio: 'pipe' });

  it('the alerts are valid, and fire when they should', () => {
    expect(promtool('check', 'rules', ALERTS)).toContain(`${alerts.length} rules found`);
    expect(promtool('test', 'rules', 'deploy/prometheus/alerts.test.yaml')).toContain('SUCCESS');
  });

  it('each alert fires in that test', () => {
    const tried = readFileSync('deploy/prometheus/alerts.test.yaml', 'utf8');
    for (const { alert } of alerts) expect(tried, alert).toMatch(new RegExp(`\\b${alert}\\b`));
  });

  it('what the panels ask for is PromQL', () => {
    const rules = expressions.map(({ expr }, number) => ({
      record: `panel:${number}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
    }));
    const file = path.join(folder, 'panels.yaml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules }] })); // JSON is YAML
    expect(promtool('check', 'rules', file)).toContain(`${expressions.length} rules found`);
  });
});
