import type { z } from 'zod';
import type { Allowance } from '#application/ports/services.ts';
import type { Caller } from '#application/ports/sessions.ts';
import type { ServiceClient } from '#application/ports/store.ts';
import type { Acr } from '#domain/assurance.ts';
import type { Client } from '#domain/client.ts';
import type { ProblemCode, Refusal } from '#domain/problems.ts';
import type { RateLimitName } from '#domain/rate-limit.ts';
import type { Permission } from '#domain/roles.ts';
import type { Cookie } from './cookies.ts';

/** Who may call: everybody, a service by its credentials, or a live session of at least this strength with this permission. No default. */
export type Access = 'public' | ServiceAccess | SessionAccess;

/** HTTP Basic; such a route has no limit by address, but for wrong credentials. */
export type ServiceAccess = { serviceClient: true; aal?: never; permission?: never; stepUp?: never; beforeSecondFactor?: never };

export type SessionAccess = {
  aal: Acr;
  permission?: Permission;
  /** Sensitive: asks for a recent authentication, by both factors where the account holds two (RFC 9470). */
  stepUp?: true;
  /** Open to who has yet to enrol the second factor that is required of everybody. */
  beforeSecondFactor?: true;
  /** Reads, and answers tokens of the replaced service too while LEGACY_TOKENS_UNTIL lets it. */
  takesLegacyTokens?: true;
};

/** The caller of a route that is not public, read from the store for this request. */
export type Principal = Caller & {
  /** By the cookie itself, not by a token of its session. */
  isByCookie: boolean;
};

/** What a handler gets: everything checked, nothing of the framework. */
export type Call<Body, Params, Query, Who> = {
  body: Body;
  params: Params;
  query: Query;
  client: Client;
  principal: Who;
  /** The service that asks, where the route is for services. */
  service: ServiceClient | null;
  /** `If-None-Match`, for the routes that a client may keep a copy of. */
  ifNoneMatch: string | undefined;
  /** `Authorization`, for the one route whose caller is neither a user nor a service (metrics). */
  authorization: string;
  /** `Accept`, for the page that is data too. */
  accept: string;
  /** For the flow of a route that is limited by it. */
  allowance: Allowance;
};

/** A body that is text, bytes or a stream goes out as it is (with its own content type); anything else through the response schema. */
export type Answer = {
  status: number;
  body?: unknown;
  /** Instead of a body: NDJSON, each item through the route's `line`, taken as fast as the client reads. */
  lines?: AsyncIterable<unknown>;
  headers?: Record<string, string>;
  cookies?: readonly Cookie[];
};

/**
 * A route's header is its contract: schema, problems, access and limits are one declaration, from which validation,
 * serialisation, the OpenAPI document, the access check and the tests' matrix follow.
 */
export type RouteDefinition<
  Body extends z.ZodType = z.ZodType,
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Permitted extends Access = Access,
> = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Under `/api/auth`, it is mounted at `/api/v1/auth` and `/auth` as well (deprecated). `{id}` marks a parameter. */
  path: string;
  /** Paths of the replaced systems that answer too (deprecated). */
  aliases?: readonly string[];
  tag: string;
  summary: string;
  description?: string;
  access: Permitted;
  /**
   * What a public route has to do with sessions. `if-there`: whoever shows one is told to the handler, and it must be valid.
   * `if-live`: one that is over counts as none.
   * `begins`: it answers with one, so that no foreign page may ask for it.
   */
  session?: 'if-there' | 'if-live' | 'begins';
  /**
   * What it does depends on what nobody may learn: its answer comes after a tenth of a second, or the next, whatever it took. A dependency
   * that is down is told of at once.
   */
  isEven?: true;
  /** Buckets per address besides `per-ip`. A route with any is critical: without the limiter it answers 503. */
  limits?: readonly RateLimitName[];
  /** Its flow adds buckets of whom the request is about, and draws: it is given the `allowance`. */
  isLimitedByFlow?: true;
  /** The codes that its flow may answer; those of the edge (validation, access, limits, outages) are added by themselves. */
  problems: readonly ProblemCode[];
  body?: Body;
  params?: Params;
  query?: Query;
  /** Answers blocked addresses, and floods: what probes ask, what verifies tokens of others, and what tests ask until a mail is there. */
  neverBlocked?: true;
  /** Takes its body as application/x-www-form-urlencoded too, as OAuth has it. */
  takesForm?: true;
  /** A page or asset for people: not in the OpenAPI document. */
  hidden?: true;
  /** Of the success response; application/json unless it says otherwise. */
  mediaType?: string;
  /** Status → what it means and the schema of the body (none: no body). */
  responses: Record<number, { description: string; schema?: z.ZodType }>;
  /** Of one line, where the route answers `Accept: application/x-ndjson` with lines. */
  line?: z.ZodType;
  handler: (
    call: Call<z.output<Body>, z.output<Params>, z.output<Query>, Permitted extends SessionAccess ? Principal : Principal | null>,
  ) => Promise<Answer | Refusal>;
};

/** A route of a list: its body types were checked where it was defined, its handler gets what they let through. */
export type Route = Omit<RouteDefinition, 'handler'> & {
  handler: (call: Call<unknown, unknown, unknown, Principal | null>) => Promise<Answer | Refusal>;
};

/** Keeps the types of one definition together while it is written. */
export function route<Body extends z.ZodType, Params extends z.ZodType, Query extends z.ZodType, const Permitted extends Access>(
  definition: RouteDefinition<Body, Params, Query, Permitted>,
): Route {
  return definition as unknown as Route;
}
