import { z } from 'zod';
import { type Route, route } from '../route.ts';

/** The OpenAPI document of what this service answers. @param document 7 MB once it is made, so not asked for before somebody does */
export function referenceRoute(document: () => object): Route {
  let body: string | undefined;
  return route({
    method: 'GET',
    path: '/openapi.json',
    tag: 'Operations',
    summary: 'This document',
    description: 'What the settings of this service leave out is not in it. For people: /docs.',
    access: 'public',
    problems: [],
    responses: { 200: { description: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
    async handler() {
      body ??= JSON.stringify(document());
      return { status: 200, body, headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'public, max-age=60' } };
    },
  });
}
