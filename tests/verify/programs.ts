import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '#tests/support/free-port.ts';
import { copied } from '#tests/support/page.ts';
import { has } from '#tests/support/programs.ts';
import { until } from '#tests/support/until.ts';

/** A program of docs/verify as it runs: a server that lets bearers of good tokens in. */
export type Guard = { url: string; stop(): Promise<void> };

export type Page = { name: string; isHere: boolean; build(): Promise<(issuer: string) => Promise<Guard>> };

const run = promisify(execFile);

/** A machine that has other things to do takes its time to start a JVM. */
const STARTS_WITHIN_SECONDS = 30;

const jar = (name: string) => `/usr/share/java/${name}.jar`;
const JACKSON = ['core', 'annotations', 'databind'].map((part) => jar(`jackson-${part}`));
/** Debian calls the jars of Spring 4.3 so. */
const SPRING = ['core', 'beans', 'context', 'expression', 'aop', 'web', 'web.servlet'].map((part) => jar(`spring3-${part}`));
const TOMCAT = ['catalina', 'coyote', 'util', 'util-scan', 'juli', 'api', 'jni', 'servlet-api', 'annotations-api', 'jaspic-api'];
const WEB = [...JACKSON, ...SPRING, ...TOMCAT.map((part) => jar(`tomcat9-${part}`)), jar('commons-logging')];

export const PAGES: Page[] = [
  {
    name: 'node.md',
    isHere: true,
    async build() {
      const folder = copied('verify/node.md');
      return (issuer) => guard(folder, [process.execPath, 'server.mjs'], issuer);
    },
  },
  {
    name: 'python.md',
    isHere: has('python3-jwt', '/usr/bin/python3 -c "import jwt, cryptography"'),
    async build() {
      const folder = copied('verify/python.md');
      return (issuer) => guard(folder, ['/usr/bin/python3', 'server.py'], issuer);
    },
  },
  {
    name: 'go.md',
    isHere: has('go'),
    async build() {
      const folder = copied('verify/go.md');
      // What was compiled once is kept for the next run.
      const env = { ...process.env, GO111MODULE: 'off', GOCACHE: path.join(tmpdir(), 'latchkey-go-cache'), GOFLAGS: '' };
      await run('go', ['build', '-o', 'server', 'main.go', 'verify.go'], { cwd: folder, env });
      return (issuer) => guard(folder, ['./server'], issuer);
    },
  },
  {
    name: 'java.md',
    isHere: has('javac and jackson', `command -v javac && ls ${JACKSON.join(' ')}`),
    async build() {
      const folder = copied('verify/java.md');
      await run('javac', ['-cp', JACKSON.join(':'), 'TokenVerifier.java', 'Main.java'], { cwd: folder });
      return (issuer) => guard(folder, ['java', '-XX:TieredStopAtLevel=1', '-cp', [...JACKSON, '.'].join(':'), 'Main'], issuer);
    },
  },
  {
    name: 'spring.md',
    isHere: has('javac, jackson, Spring and Tomcat', `command -v javac && ls ${WEB.join(' ')}`),
    async build() {
      const folder = copied('verify/java.md', 'verify/spring.md');
      cpSync('tests/verify/SpringServer.java', path.join(folder, 'SpringServer.java'));
      // What the page says is changed, and no more.
      const filter = path.join(folder, 'TokenFilter.java');
      writeFileSync(filter, readFileSync(filter, 'utf8').replaceAll('import jakarta.servlet.', 'import javax.servlet.'));
      const sources = ['TokenVerifier', 'TokenFilter', 'Forbidden', 'Api', 'SpringServer'].map((name) => `${name}.java`);
      await run('javac', ['-cp', WEB.join(':'), ...sources], { cwd: folder });
      return (issuer) => guard(folder, ['java', '-XX:TieredStopAtLevel=1', '-cp', [...WEB, '.'].join(':'), 'SpringServer'], issuer);
    },
  },
  { name: 'nginx.md', isHere: has('nginx', 'PATH=$PATH:/usr/sbin command -v nginx'), build: async () => nginx },
];

/** nginx with the process that verifies for it, and a service behind it that says who it was told comes. */
async function nginx(issuer: string): Promise<Guard> {
  const folder = copied('verify/node.md', 'verify/nginx.md');
  const auth = await guard(folder, [process.execPath, 'auth.mjs'], issuer);
  const service = createServer((request, response) => {
    const { 'x-auth-sub': sub, 'x-auth-roles': roles = '', 'x-auth-scope': scope } = request.headers;
    if (request.url === '/users' && !String(scope).split(' ').includes('users:read')) return response.writeHead(403).end();
    response.end(JSON.stringify({ sub, roles: String(roles).split(',') }));
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const port = await freePort();
  const kept = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${folder}/tmp/${what};`);
  mkdirSync(path.join(folder, 'tmp'));
  const page = readFileSync(path.join(folder, 'nginx.conf'), 'utf8');
  const here = page
    .replace('127.0.0.1:9000', new URL(auth.url).host)
    .replace('127.0.0.1:9001', `127.0.0.1:${(service.address() as AddressInfo).port}`)
    .replace('127.0.0.1:8080', `127.0.0.1:${port}`)
    .replace('http {', `http {\n  access_log off;\n  ${kept.join(' ')}`);
  writeFileSync(path.join(folder, 'nginx.conf'), here);
  const only = `daemon off; master_process off; error_log stderr; pid ${folder}/nginx.pid;`;
  const front = await started(folder, ['nginx', '-p', folder, '-c', `${folder}/nginx.conf`, '-g', only], {}, port);
  return {
    url: front.url,
    async stop() {
      await front.stop();
      service.closeAllConnections();
      service.close();
      await auth.stop();
    },
  };
}

async function guard(folder: string, command: string[], issuer: string): Promise<Guard> {
  const port = await freePort();
  return await started(folder, command, { AUTH_ISSUER: issuer, PORT: String(port) }, port);
}

async function started(folder: string, [program = '', ...args]: string[], env: Record<string, string>, port: number): Promise<Guard> {
  const PATH = `${process.env['PATH']}:/usr/sbin`;
  const child: ChildProcess = spawn(program, args, { cwd: folder, env: { ...env, PATH }, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk).slice(-4000);
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  await until(
    `${program} listens`,
    async () => {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`);
      return (await fetch(url).catch(() => null)) !== null;
    },
    STARTS_WITHIN_SECONDS,
  );
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
