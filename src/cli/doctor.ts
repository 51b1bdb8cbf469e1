import { parseArgs } from 'node:util';
import type { Severity } from '#domain/finding-kind.ts';
import { type Finding, found } from '#domain/findings.ts';
import type { Config, SecretName } from '../config.ts';
import { SETTINGS } from '../settings.ts';
import { type Command, type Output, table } from './command.ts';
import { type Check, checksOf } from './doctor-checks.ts';
import { reasonOf } from './reason.ts';
import { readSettings } from './tolerant-settings.ts';

/** Looks at settings, keys, stores and mail, and says what is wrong, why it matters and what to do. Changes nothing. */
export const doctor: Command = {
  summary: 'look for what is wrong: settings, proxy, cookies, keys, database, Redis, mail',
  help: `Usage: latchkey doctor [--json]

Looks at settings that contradict each other, the proxy before the service, cookies and passkeys, signing and encryption keys, the
database (version, migrations, audit partitions, outbox, clock), Redis, the mail provider (it connects and sends nothing), and what
deviates from SECURITY_PROFILE=strict, by requirement of OWASP ASVS 5.0. It changes nothing, prints no secret, and ends within seconds
when something is dead. Run it with the settings of the service, where the service runs. docs/doctor.md explains each finding.

Ends with 0 when there is no error, with 1 when there is one; warnings and notes end with 0.

Examples:
  latchkey doctor
  latchkey doctor --json | jq '.findings[] | select(.severity == "error")'`,

  async run(args, out) {
    const { values } = parseArgs({ args, options: { json: { type: 'boolean' } } });
    const read = await readSettings(process.env);
    const checks = checksOf(read);
    const findings = (await Promise.all(checks.map(bounded))).flat().map(withoutSecrets(read.config));
    const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length;
    const counts = { error: count('error'), warning: count('warning'), note: count('note') };
    if (values.json) {
      const shown = findings.map(({ todo, ...finding }) => ({ ...finding, do: todo }));
      out.print(JSON.stringify({ ok: counts.error === 0, counts, checks: checks.map(({ name }) => name), findings: shown }, null, 2));
    } else show(findings, counts, out);
    return counts.error > 0 ? 1 : 0;
  },
};

const LONGEST_MS = 8000;
const WIDTH = 110;

/** No check can keep the others, or whoever asks, waiting. */
async function bounded({ name, run }: Check): Promise<Finding[]> {
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding[]>((resolve) => {
    timer = setTimeout(() => {
      ending.abort();
      resolve([found('check-failed', `${name}: no answer within ${LONGEST_MS / 1000} seconds.`)]);
    }, LONGEST_MS);
  });
  try {
    return await Promise.race([run(ending.signal), late]);
  } catch (error) {
    return [found('check-failed', `${name}: ${reasonOf(error)}.`)];
  } finally {
    clearTimeout(timer);
  }
}

/** Whatever a server or a library says back. */
function withoutSecrets(config: Config | null): (finding: Finding) => Finding {
  const urls = [config?.DATABASE_URL, ...(config?.REDIS_URL?.reveal().split(',') ?? [])];
  const inUrls = urls.flatMap((url) => {
    const text = typeof url === 'string' ? url.trim() : url?.reveal();
    const password = text !== undefined && URL.canParse(text) ? new URL(text).password : '';
    return [password, decoded(password)];
  });
  const names = Object.entries(SETTINGS).flatMap(([name, setting]) =>
    'secret' in setting && !name.endsWith('_URL') ? [name as SecretName] : [],
  );
  const whole = names.flatMap((name) => config?.[name]?.reveal().split(',') ?? []);
  const secrets = [...whole, ...inUrls].filter((secret) => secret !== '');
  const clean = (text: string) => secrets.reduce((said, secret) => said.replaceAll(secret, '[redacted]'), text);
  return (finding) => ({ ...finding, what: clean(finding.what), todo: clean(finding.todo) });
}

/** As it is where it is not encoded rightly: that is for the check of its server to say. */
function decoded(password: string): string {
  try {
    return decodeURIComponent(password);
  } catch {
    return password;
  }
}

const IN_WORDS: Record<Severity, string> = { error: 'ERROR', warning: 'WARNING', note: 'NOTE' };
const DEVIATIONS = new Set(['strict-deviation', 'version-deviation']);

function show(findings: readonly Finding[], counts: Record<Severity, number>, out: Output): void {
  const indent = ' '.repeat(9);
  for (const severity of Object.keys(IN_WORDS) as Severity[]) {
    for (const { id, what, why, todo } of findings.filter((finding) => finding.severity === severity && !DEVIATIONS.has(finding.id))) {
      out.print(`${IN_WORDS[severity].padEnd(9)}${id}`);
      for (const text of [what, why, `→ ${todo}`]) for (const line of wrapped(text, WIDTH - indent.length)) out.print(`${indent}${line}`);
      out.print('');
    }
  }
  const deviations = findings.filter(({ id }) => DEVIATIONS.has(id));
  if (deviations.length > 0) {
    out.print('Deviations from SECURITY_PROFILE=strict, which are yours to decide; the last ones are of this version:');
    const rows = deviations.flatMap(({ requirement, what }) =>
      wrapped(what, WIDTH - 18).map((line, index) => [index === 0 ? `  ${requirement}` : '', line]),
    );
    for (const line of table(rows)) out.print(line);
    out.print('');
  }
  const said = (number: number, word: string) => `${number} ${word}${number === 1 ? '' : 's'}`;
  out.print(`${said(counts.error, 'error')}, ${said(counts.warning, 'warning')}, ${said(counts.note, 'note')}`);
}

function wrapped(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
