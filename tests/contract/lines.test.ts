import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, expect, it } from 'vitest';
import { z } from 'zod';
import { cookies } from '#http/cookies.ts';
import { csrf } from '#http/csrf.ts';
import { mount } from '#http/mount.ts';
import { route } from '#http/route.ts';
import { csrfTokens } from '#infrastructure/crypto/csrf-tokens.ts';
import { until } from '#tests/support/until.ts';

/** An answer without an end: what keeps its memory flat, and who ends it. */

const nobody = () => Promise.reject(new Error('nobody asks'));
const made = { lines: 0, isOver: false };
const line = z.object({ text: z.string() });

async function* endless() {
  try {
    for (;;) {
      made.lines++;
      yield { text: 'x'.repeat(1000), secret: 'not declared' };
    }
  } finally {
    made.isOver = true;
  }
}

const jar = cookies({ allowsPlain: false });
let app: FastifyInstance;
afterEach(() => app.close());

async function served(): Promise<string> {
  Object.assign(made, { lines: 0, isOver: false });
  app = Fastify({ forceCloseConnections: 'idle' });
  const lines = route({
    method: 'GET',
    path: '/lines',
    tag: 'x',
    summary: 'x',
    access: 'public',
    problems: [],
    responses: { 200: { description: 'x' } },
    line,
    handler: async () => ({ status: 200, lines: endless() }),
  });
  mount(app, [lines], {
    access: { identifyIfThere: nobody, identifyIfLive: nobody, guard: nobody },
    services: nobody,
    csrf: csrf({ csrfTokens: csrfTokens(Buffer.alloc(32)), cookies: jar, ownOrigins: [] }),
    cookies: jar,
    limits: { refuseFlood: async () => {}, begin: nobody },
    issuer: 'http://localhost',
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/lines`;
}

const answerOf = (url: string) => new Promise<IncomingMessage>((resolve, reject) => void get(url, resolve).on('error', reject));

/** The client takes nothing more, and nothing more is made. */
async function standstill(): Promise<number> {
  let before = -1;
  return await until('no more lines are made', () => {
    const isSame = made.lines === before;
    before = made.lines;
    return isSame && before;
  });
}

it('lines are made as fast as the client reads, and none for a client that is gone', async () => {
  const answer = await answerOf(await served());
  expect(answer.headers['content-type']).toBe('application/x-ndjson');
  answer.once('readable', () => {});
  const first = await standstill();
  expect(first).toBeLessThan(20_000); // some megabytes: what sockets hold
  let read = 0;
  for await (const chunk of answer) {
    read += (chunk as Buffer).length;
    if (read > 30_000_000) break; // leaving the loop hangs up
  }
  expect(made.lines).toBeGreaterThan(first);
  await until('the source is told', () => made.isOver);
});

it('lines hold only what is declared', async () => {
  const answer = await answerOf(await served());
  const [chunk] = await answer.take(1).toArray();
  answer.destroy();
  expect(JSON.parse(String(chunk).split('\n')[0] ?? '')).toEqual({ text: 'x'.repeat(1000) });
});

it('a HEAD asks for none', async () => {
  const url = await served();
  const answer = await fetch(url, { method: 'HEAD' });
  expect([answer.status, answer.headers.get('content-type'), made.lines]).toEqual([200, 'application/x-ndjson; charset=utf-8', 0]);
});

it('a client that stands still does not hold a service that stops', async () => {
  const answer = await answerOf(await served());
  await standstill();
  const cut = new Promise((resolve) => answer.once('error', resolve));
  answer.resume();
  await app.close();
  expect(await cut).toBeInstanceOf(Error);
  expect(made.isOver).toBe(true);
});
