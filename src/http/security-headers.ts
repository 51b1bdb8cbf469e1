import helmet from '@fastify/helmet';
import Fastify, { type FastifyInstance } from 'fastify';

const ONE_YEAR_SECONDS = 31_536_000; // ASVS 3.4.1

/**
 * Helmet's headers on every response, with a policy under which our own pages and the API reference work: scripts from this
 * origin only, none inline (ASVS 3.4.3). HSTS, and the upgrade to https, only where the service is reached by https.
 * They are the same for every request, so helmet is asked once: its dozen steps would cost more than the route itself.
 */
export async function installSecurityHeaders(app: FastifyInstance, issuer: string): Promise<void> {
  const headers = await helmetHeaders(issuer.startsWith('https:'));
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers);
    done();
  });
}

async function helmetHeaders(isHttps: boolean): Promise<Record<string, string>> {
  const probe = Fastify();
  const before = new Set(Object.keys((await probe.inject('/')).headers));
  const sample = Fastify();
  await sample.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'self'"],
        'base-uri': ["'none'"],
        'form-action': ["'self'"],
        'frame-ancestors': ["'none'"],
        'img-src': ["'self'", 'data:'],
        'object-src': ["'none'"],
        'script-src': ["'self'"],
        'style-src': ["'self'", "'unsafe-inline'"], // swagger-ui styles its elements inline
        ...(isHttps ? { 'upgrade-insecure-requests': [] } : {}),
      },
    },
    hsts: isHttps ? { maxAge: 2 * ONE_YEAR_SECONDS, includeSubDomains: true } : false,
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
  });
  const { headers } = await sample.inject('/');
  await Promise.all([probe.close(), sample.close()]);
  return Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (before.has(name) ? [] : [[name, String(value)]])));
}
