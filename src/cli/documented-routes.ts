import type { Services } from '#application/ports/services.ts';
import { openApiDocument } from '#http/openapi.ts';
import { mailboxRoute } from '#http/routes/mailbox.ts';
import { metricsRoute } from '#http/routes/metrics.ts';
import { operationRoutes } from '#http/routes/operations.ts';
import { referenceRoute } from '#http/routes/reference.ts';
import { loadConfig } from '../config.ts';
import { routesOf } from '../routes.ts';
import { versionOfPackage } from '../version.ts';
import type { OpenApi } from './postman.ts';

/** Stands in for every part: routes are declared over it, and none is called. */
const NOTHING: unknown = new Proxy(() => {}, { get: () => NOTHING, apply: () => NOTHING });

/** What opens every route that a setting can open. */
const EVERYTHING = { AUTH_PROVIDER: 'both', COGNITO_USER_POOL_ID: 'eu-central-1_Documented', COGNITO_CLIENT_ID: 'documented' };

/** The OpenAPI document of a service that has every route there is, at their own paths; nothing is started for it. */
export function documentOfAllRoutes(): OpenApi {
  const { policy, PRODUCT_NAME, ISSUER } = loadConfig(EVERYTHING);
  const services = new Proxy({ policy } as Services, { get: (given, name) => (name === 'policy' ? given.policy : NOTHING) });
  const routes = [
    ...routesOf(services),
    ...operationRoutes({ dependencies: [], isStopping: () => false, keys: NOTHING as never, issuer: ISSUER }),
    metricsRoute(NOTHING as never, ''),
    mailboxRoute(NOTHING as never, PRODUCT_NAME),
    referenceRoute(() => ({})),
  ];
  const info = { title: PRODUCT_NAME, issuer: ISSUER, version: versionOfPackage() };
  return openApiDocument(routes, ({ path }) => [path], info) as OpenApi;
}
