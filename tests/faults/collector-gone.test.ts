import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Collector, collector } from '#tests/support/collector.ts';
import { testDatabase } from '#tests/support/database.ts';
import { PASSWORD, signedInPerson, tokensOf, tryLogin } from '#tests/support/people.ts';
import { serviceProcess } from '#tests/support/process.ts';
import { startService, type TestService } from '#tests/support/service.ts';
import { timed } from '#tests/support/timed.ts';
import { until } from '#tests/support/until.ts';

describe('without the collector that traces go to', () => {
  let collected: Collector;
  let service: TestService;
  const lines: { level: number; msg: string }[] = [];
  beforeEach(async () => {
    collected = await collector();
    service = await startService({
      settings: { OTEL_EXPORTER_OTLP_ENDPOINT: collected.url, LOG_LEVEL: 'warn' },
      logTo: { write: (line) => void lines.push(JSON.parse(line)) },
    });
    lines.length = 0;
  });
  afterEach(() => collected.stop());

  it.each(['refuse', 'hang'] as const)('(%s) nobody waits and nothing fails, and the end does not wait for it either', async (how) => {
    collected.behave(how);
    const person = await signedInPerson(service);
    await until('it was asked in vain', () => collected.received.length > 0);
    const api = service.api();
    const me = () => api.get('/api/auth/me', person.accessToken);
    const answers = await timed('a hundred requests', () => Promise.all(Array.from({ length: 100 }, me)));
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    const startedMs = performance.now();
    await service.stop();
    expect(performance.now() - startedMs).toBeLessThan(6000);
  });

  it('(gone) the log says so, once, and traces come when it is back', async () => {
    const { port } = new URL(collected.url);
    await collected.stop();
    const person = await signedInPerson(service);
    await until('it is told', () => lines.some(({ msg }) => msg.includes('collector')), 30);
    for (let time = 0; time < 3; time++) tokensOf(await tryLogin(service.api(), person));
    expect(lines.filter(({ msg }) => msg.includes('collector')).length).toBe(1);
    collected = await collector(Number(port));
    await until(
      'spans arrive',
      async () => {
        tokensOf(await tryLogin(service.api(), person));
        return collected.spans.length > 0;
      },
      30,
    );
    await service.stop();
  });
});

/** Says at its end which modules of OpenTelemetry it loaded. */
const LISTENING = `data:text/javascript,import { registerHooks } from 'node:module';
  const seen = new Set();
  registerHooks({ resolve(name, context, next) { if (name.startsWith('@opentelemetry/')) seen.add(name); return next(name, context); } });
  process.on('exit', () => process.stderr.write('\\nloaded=' + [...seen] + '.'));`.replaceAll('\n', '');

describe('where no collector is named', () => {
  it.each([
    ['nothing of OpenTelemetry is loaded', {}, /loaded=\./],
    ['it is where one is', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' }, /loaded=@opentelemetry/],
  ])('%s', { timeout: 60_000 }, async (_what, settings, expected) => {
    const database = await testDatabase();
    const service = await serviceProcess(database.address, { ...settings, NODE_OPTIONS: `--import="${LISTENING}"` });
    const said: string[] = [];
    service.child.stderr?.on('data', (chunk: Buffer) => said.push(String(chunk)));
    try {
      expect((await service.post('login', { email: 'ada@example.com', password: PASSWORD })).status).toBe(401);
    } finally {
      await service.stop();
      await database.drop();
    }
    expect(said.join('')).toMatch(expected);
  });
});
