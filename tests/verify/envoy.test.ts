import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { problemsOf } from '#tests/support/envoy-api.ts';
import { codeOf } from '#tests/support/page.ts';

/** The configuration of docs/verify/envoy.md against Envoy's own API. Envoy itself does not run here. */

const page = codeOf('verify/envoy.md')['envoy.yaml'] ?? '';
const { listeners, clusters } = parse(page).static_resources;
const manager = listeners[0].filter_chains[0].filters[0].typed_config;
const kinds = manager.http_filters.map(({ name }: { name: string }) => name.split('.').at(-1));
const [mutation, jwt, rbac] = manager.http_filters.map((filter: { typed_config: unknown }) => filter.typed_config);
const provider = jwt.providers.latchkey;

/** The page with something else in one place. */
function changed(from: string, to: string): unknown {
  expect(page.split(from), `${from} stands there once`).toHaveLength(2);
  return parse(page.replace(from, () => to));
}

const HTTP = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config';
const JWT = `${HTTP}.http_filters[1].typed_config`;
const PROVIDER = `${JWT}.providers.latchkey`;
const AUTHN = 'envoy.extensions.filters.http.jwt_authn.v3';

const BAD: Record<string, [from: string, to: string, problem: string]> = {
  'a misspelt field': ['require_expiration:', 'requires_expiration:', `${PROVIDER}: ${AUTHN}.JwtProvider has no field requires_expiration`],
  'a misspelt field deep down': [
    'fast_listener:',
    'fast_listeners:',
    `${PROVIDER}.remote_jwks.async_fetch: ${AUTHN}.JwksAsyncFetch has no field fast_listeners`,
  ],
  'a word for a number': ['clock_skew_seconds: 5', 'clock_skew_seconds: five', `${PROVIDER}.clock_skew_seconds: "five" is not uint32`],
  'a number that is negative': ['clock_skew_seconds: 5', 'clock_skew_seconds: -5', `${PROVIDER}.clock_skew_seconds: -5 is not uint32`],
  'a word for yes or no': ['require_expiration: true', 'require_expiration: "true"', `${PROVIDER}.require_expiration: "true" is not bool`],
  'a word for a list': ['audiences: [https://auth.example.com]', 'audiences: x', `${PROVIDER}.audiences: "x" is not a list`],
  'nothing after a colon': ['require_expiration: true', 'require_expiration:', `${PROVIDER}.require_expiration: null is not bool`],
  'a duration without its unit': [
    'cache_duration: 60s',
    'cache_duration: 60',
    `${PROVIDER}.remote_jwks.cache_duration: 60 is not a duration`,
  ],
  'a duration of minutes': ['cache_duration: 60s', 'cache_duration: 1m', `${PROVIDER}.remote_jwks.cache_duration: "1m" is not a duration`],
  'a duration out of bounds': [
    'cache_duration: 60s',
    'cache_duration: 0s',
    `${PROVIDER}.remote_jwks.cache_duration: "0s" breaks gte {"nanos":1000000}`,
  ],
  'a word that an enumeration has not': [
    'action: ALLOW',
    'action: ALLOWED',
    `${HTTP}.http_filters[2].typed_config.rules.action: "ALLOWED" is not Action`,
  ],
  'two of which only one can be': [
    'forward: true',
    'forward: true\n                          local_jwks: { filename: keys.json }',
    `${PROVIDER}: remote_jwks and local_jwks exclude each other`,
  ],
  'none of which one must be': [
    '{ remove: x-auth-sub }',
    '{}',
    `${HTTP}.http_filters[0].typed_config.mutations.request_mutations[0]: envoy.config.common.mutation_rules.v3.HeaderMutation needs one of remove, append`,
  ],
  'a message that is not there': [
    'http_uri: { uri: https://auth.example.com/.well-known/jwks.json, cluster: latchkey, timeout: 2s }',
    '',
    `${PROVIDER}.remote_jwks.http_uri: is required`,
  ],
  'a text that is not there': ['stat_prefix: http', '', `${HTTP}.stat_prefix: "" breaks min_len 1`],
  'a port that is none': [
    'port_value: 8080',
    'port_value: 80800',
    'static_resources.listeners[0].address.socket_address.port_value: 80800 breaks lte 65535',
  ],
  'an unknown @type': [
    `${AUTHN}.JwtAuthentication`,
    `${AUTHN}.JwtAuthn`,
    `${JWT}.@type: "type.googleapis.com/${AUTHN}.JwtAuthn" is not a type of Envoy`,
  ],
  'a @type that is no filter': [
    'envoy.extensions.filters.http.router.v3.Router',
    'envoy.config.route.v3.Route',
    `${HTTP}.http_filters[3].typed_config.@type: "type.googleapis.com/envoy.config.route.v3.Route" is not an extension of envoy.extensions.filters.http.`,
  ],
  'a field of old': [
    'match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: auth.example.com } }]',
    'match_subject_alt_names: [{ exact: auth.example.com }]',
    'static_resources.clusters[1].transport_socket.typed_config.common_tls_context.validation_context.match_subject_alt_names: is deprecated',
  ],
};

describe('docs/verify/envoy.md', () => {
  it('is a whole configuration by the API of Envoy, and says that Envoy does not run here', () => {
    expect(problemsOf(parse(page))).toEqual([]);
    expect(readFileSync('docs/verify/envoy.md', 'utf8')).toContain('**Not run in our tests**');
  });

  it.each(Object.entries(BAD))('would not pass with %s', (_, [from, to, problem]) => {
    expect(problemsOf(changed(from, to))).toEqual([problem]);
  });

  it('names nothing that is not there', () => {
    const there = clusters.map(({ name }: { name: string }) => name);
    const named = [provider.remote_jwks.http_uri.cluster, manager.route_config.virtual_hosts[0].routes[0].route.cluster];
    expect(named.sort()).toEqual(there.sort());
    for (const { name, load_assignment } of clusters) expect(load_assignment.cluster_name).toBe(name);
    expect(Object.keys(jwt.providers)).toEqual(
      jwt.rules.map((rule: { requires: { provider_name: string } }) => rule.requires.provider_name),
    );
    const { filter, path } = rbac.rules.policies['access-tokens'].principals[0].metadata;
    expect([filter, path[0].key]).toEqual([manager.http_filters[1].name, provider.header_in_metadata]);
  });

  it('asks Latchkey under the name in its certificate', () => {
    const { load_assignment, transport_socket } = clusters.find(({ name }: { name: string }) => name === 'latchkey');
    const host = new URL(provider.issuer).hostname;
    expect(new URL(provider.remote_jwks.http_uri.uri).origin).toBe(provider.issuer);
    expect(load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address).toBe(host);
    expect(transport_socket.typed_config.sni).toBe(host);
    expect(transport_socket.typed_config.common_tls_context.validation_context.match_typed_subject_alt_names[0].matcher.exact).toBe(host);
  });

  it('takes away the headers of clients before it writes its own, and looks at the type of a token after its signature', () => {
    expect(kinds).toEqual(['header_mutation', 'jwt_authn', 'rbac', 'router']);
    const written = provider.claim_to_headers.map(({ header_name }: { header_name: string }) => header_name);
    expect(mutation.mutations.request_mutations.map(({ remove }: { remove: string }) => remove)).toEqual(written);
  });
});
