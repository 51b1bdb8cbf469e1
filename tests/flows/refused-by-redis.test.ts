import { expect, inject, it } from 'vitest';
import { startService } from '#tests/support/service.ts';
import { until } from '#tests/support/until.ts';

it.runIf(inject('redisUrl') !== null)('[V16.2.5] a password that Redis refuses is told of in the log without a word of it', async () => {
  const password = 'Canary-4Tq8-of-the-cache';
  const url = Object.assign(new URL(inject('redisUrl') ?? ''), { username: 'nobody', password });
  const lines: string[] = [];
  const service = await startService({
    settings: { REDIS_URL: url.href, LOG_LEVEL: 'trace' },
    logTo: { write: (line: string) => void lines.push(line) },
  });
  try {
    await until('it was told of', () => lines.some((line) => line.includes('redis does not answer')));
    expect((await service.api().get('/health/ready')).status).toBe(503);
    expect(lines.filter((line) => line.includes('WRONGPASS'))).not.toEqual([]);
    expect(lines.filter((line) => line.includes(password) || line.includes('AUTH'))).toEqual([]);
  } finally {
    await service.stop();
  }
});
