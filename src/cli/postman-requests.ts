/** One operation of the OpenAPI document as a request of a Postman collection, v2.1 (https://schema.postman.com/json/collection/v2.1.0/docs). */

type Schema = {
  type?: string;
  format?: string;
  enum?: unknown[];
  const?: unknown;
  examples?: unknown[];
  default?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  description?: string;
};

export type Operation = {
  summary: string;
  description?: string;
  tags: string[];
  deprecated?: boolean;
  security: Record<string, string[]>[];
  parameters?: { name: string; in: 'path' | 'query'; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, unknown>;
};

export type Item = { name: string; event?: object[]; request: object };

/** What stands in an example, by the name of the field: what earlier answers gave, or what a person would type. */
const BY_NAME: Record<string, unknown> = {
  email: '{{email}}',
  new_email: 'ada.new@example.com',
  password: '{{password}}',
  current_password: '{{password}}',
  new_password: '{{newPassword}}',
  refresh_token: '{{refreshToken}}',
  pre_auth_token: '{{preAuthToken}}',
  token: '{{linkToken}}',
  code: '000000',
  method: 'totp',
  phone_number: '+1 415 555 2671',
  name: 'The blue one',
  reason: 'an example',
  display_name: 'Ada Lovelace',
  id: 'AAAA',
  type: 'public-key',
  clientDataJSON: 'AAAA',
};

/** Whose `token` is none of a link in a mail. */
const TOKEN_OF: Record<string, string> = {
  'POST /api/auth/exchange': '{{cognitoToken}}',
  'POST /api/auth/introspect': '{{accessToken}}',
  'POST /api/auth/revoke': '{{accessToken}}',
};

/** Not everywhere: a setting opens them, and without it they are 404. */
const OPENED_BY_SETTING = ['POST /api/auth/exchange', 'GET /metrics', 'GET /dev/mailbox'];

/** Fields that a request needs although the schema, which has several ways, leaves each of them out. */
const ALSO: Record<string, string[]> = {
  'POST /api/auth/login': ['email'],
  'POST /api/auth/verify-mfa': ['code'],
  'POST /api/auth/reauthenticate': ['password'],
  'POST /api/auth/logout': ['refresh_token'],
  'PATCH /api/auth/me': ['display_name'],
  'PATCH /api/admin/users/{id}': ['display_name'],
};

/** @param tests lines of JavaScript that judge the answer, after the check that its status is declared */
export function itemOf(
  method: string,
  path: string,
  operation: Operation,
  how: { name?: string; before?: string[]; tests?: string[] } = {},
): Item {
  const isOpened = OPENED_BY_SETTING.includes(`${method} ${path}`);
  const statuses = [...Object.keys(operation.responses).map(Number), ...(isOpened ? [404] : [])];
  const tests = [
    `pm.test('answers as the OpenAPI document says', () => pm.expect(${JSON.stringify(statuses)}).to.include(pm.response.code));`,
    ...(how.tests ?? []),
  ];
  return {
    name: how.name ?? operation.summary,
    event: [...(how.before ? [script('prerequest', how.before)] : []), script('test', tests)],
    request: {
      method,
      ...(operation.description === undefined ? {} : { description: operation.description }),
      ...authOf(path, operation),
      header: [{ key: 'Accept', value: 'application/json' }],
      ...bodyOf(method, path, operation),
      url: urlOf(path, operation),
    },
  };
}

export function script(listen: 'prerequest' | 'test', lines: string[]): object {
  return { listen, script: { type: 'text/javascript', exec: lines } };
}

/** The collection's own is the user's access token. */
function authOf(path: string, { security, tags }: Operation): object {
  const bearer = (value: string) => ({ auth: { type: 'bearer', bearer: [{ key: 'token', value, type: 'string' }] } });
  if (path === '/metrics') return bearer('{{metricsToken}}');
  if (tags[0] === 'Administration') return bearer('{{adminToken}}');
  if (security.length === 0) return { auth: { type: 'noauth' } };
  if (!security.some((way) => 'service' in way)) return {};
  const basic = { username: '{{clientId}}', password: '{{clientSecret}}' };
  return { auth: { type: 'basic', basic: Object.entries(basic).map(([key, value]) => ({ key, value, type: 'string' })) } };
}

function bodyOf(method: string, path: string, { requestBody }: Operation): object {
  const schema = requestBody?.content['application/json']?.schema;
  if (!schema) return {};
  const wanted = [...(schema.required ?? []), ...(ALSO[`${method} ${path}`] ?? [])];
  const example = exampleOf({ ...schema, required: wanted }) as Record<string, unknown>;
  const token = TOKEN_OF[`${method} ${path}`];
  if (token !== undefined) example['token'] = token;
  return { body: { mode: 'raw', raw: JSON.stringify(example, null, 2), options: { raw: { language: 'json' } } } };
}

function exampleOf(schema: Schema, name = ''): unknown {
  if (name in BY_NAME) return BY_NAME[name];
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return exampleOf(schema.anyOf[0] ?? {}, name);
  if (schema.type === 'array') return [exampleOf(schema.items ?? {})];
  if (schema.type !== 'object') return schema.type === 'string' ? name : 1;
  const required = (schema.required ?? []).map((each) => [each, exampleOf(schema.properties?.[each] ?? {}, each)]);
  return Object.fromEntries(required);
}

/** `/api/auth/sessions/{id}` asks for `sessionId`, which the answers of earlier requests set. */
function urlOf(path: string, { parameters = [] }: Operation): object {
  const parts = path.slice(1).split('/');
  const variable = parameters
    .filter((parameter) => parameter.in === 'path')
    .map(({ name }) => ({ key: name, value: `{{${variableOf(parts[parts.indexOf(`{${name}}`) - 1] ?? '', name)}}}` }));
  const query = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, schema }) => ({
      key: name,
      value: String(exampleOf(schema, name)),
      description: schema.description ?? '',
      disabled: true,
    }));
  const inPath = parts.map((part) => part.replace(/^\{(\w+)\}$/, ':$1'));
  return {
    raw: `{{baseUrl}}/${inPath.join('/')}`,
    host: ['{{baseUrl}}'],
    path: inPath,
    ...(query.length > 0 ? { query } : {}),
    ...(variable.length > 0 ? { variable } : {}),
  };
}

function variableOf(collection: string, name: string): string {
  const [first = '', ...rest] = `${collection.replace(/s$/, '')}-${name}`.split('-');
  return first + rest.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('');
}
