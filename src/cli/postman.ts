import { type Item, itemOf, type Operation, script } from './postman-requests.ts';

export type OpenApi = {
  info: { title: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
};

/** Somebody else's session begins with these: before the sign-in of who registered, so that the rest is asked as that one. */
const BEGINNINGS = ['POST /api/auth/exchange'];

/** After these nothing else can be tried, so they come last. */
const ENDINGS = [
  'POST /api/auth/logout',
  'POST /api/auth/revoke',
  'DELETE /api/auth/sessions/{id}',
  'DELETE /api/admin/users/{id}/sessions',
  'DELETE /api/auth/me',
  'DELETE /api/admin/users/{id}',
];

const NOBODY = '00000000-0000-7000-8000-000000000000';
const VARIABLES: Record<string, string> = {
  baseUrl: 'http://localhost:3000',
  email: 'ada@example.com',
  password: 'lovelace wrote notes',
  newPassword: 'babbage drew engines',
  accessToken: '',
  refreshToken: 'none-yet',
  preAuthToken: 'none-yet',
  linkToken: 'none-yet',
  sessionId: NOBODY,
  userId: NOBODY,
  credentialId: NOBODY,
  ipBlockId: NOBODY,
  problemCode: 'invalid-request',
  adminToken: '',
  clientId: '',
  clientSecret: '',
  metricsToken: '',
  cognitoToken: 'none-yet',
};

/** What one answer gives, the next request sends. */
const KEEP = [
  "const isJson = (pm.response.headers.get('content-type') || '').includes('application/json');",
  'const given = isJson && pm.response.code < 300 ? pm.response.json() : {};',
  'const keep = (name, value) => value && pm.collectionVariables.set(name, value);',
  "keep('accessToken', given.access_token);",
  "keep('refreshToken', given.refresh_token);",
  "keep('sessionId', given.session_id);",
  "keep('preAuthToken', given.pre_auth_token);",
  "keep('userId', given.access_token && given.user && given.user.id);",
  "keep('ipBlockId', given.network && given.id);",
];

/** Before what ends the session that it is asked with. */
const SIGN_IN = [
  "const login = pm.collectionVariables.get('email');",
  "const password = pm.collectionVariables.get('password');",
  'pm.sendRequest({',
  "  url: pm.variables.get('baseUrl') + '/api/auth/login',",
  "  method: 'POST',",
  "  header: { 'content-type': 'application/json' },",
  "  body: { mode: 'raw', raw: JSON.stringify({ email: login, password: password }) }",
  '}, (error, answer) => {',
  '  const given = error || answer.code !== 200 ? {} : answer.json();',
  "  if (given.access_token) pm.collectionVariables.set('accessToken', given.access_token);",
  "  if (given.refresh_token) pm.collectionVariables.set('refreshToken', given.refresh_token);",
  "  if (given.session_id) pm.collectionVariables.set('sessionId', given.session_id);",
  '});',
];

const NEW_PASSWORD = [
  'if (pm.response.code === 200) {',
  "  const [old, now] = ['password', 'newPassword'].map((name) => pm.collectionVariables.get(name));",
  "  pm.collectionVariables.set('password', now);",
  "  pm.collectionVariables.set('newPassword', old);",
  '}',
];

/** Every operation that is not deprecated, by its tag, after the way from registration to sign-out. */
export function postmanCollection({ info, tags, paths }: OpenApi): object {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const current = operations.filter(({ operation }) => !operation.deprecated);
  const isEnding = ({ method, path }: { method: string; path: string }) => ENDINGS.includes(`${method} ${path}`);
  const isBeginning = ({ method, path }: { method: string; path: string }) => BEGINNINGS.includes(`${method} ${path}`);
  const items = (of: typeof current, before?: string[]) =>
    of.map(({ method, path, operation }) => {
      const tests = path === '/api/auth/change-password' ? NEW_PASSWORD : [];
      return itemOf(method, path, operation, { tests, ...(before ? { before } : {}) });
    });
  const byTag = tags.map(({ name, description }) => {
    const own = current.filter((each) => each.operation.tags[0] === name && !isEnding(each));
    return { name, description, item: items([...own.filter(isBeginning), ...own.filter((each) => !isBeginning(each))]) };
  });
  const endings = ENDINGS.flatMap((ending) => current.filter(({ method, path }) => `${method} ${path}` === ending));
  return {
    info: {
      name: info.title,
      description: DESCRIPTION,
      schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
    },
    auth: { type: 'bearer', bearer: [{ key: 'token', value: '{{accessToken}}', type: 'string' }] },
    event: [script('test', KEEP)],
    variable: Object.entries(VARIABLES).map(([key, value]) => ({ key, value, type: 'string' })),
    item: [
      {
        name: 'From registration to sign-out',
        description: 'In this order, against a service with the development mailbox.',
        item: tour(paths),
      },
      ...byTag.filter(({ item }) => item.length > 0),
      { name: 'What ends a session or an account', description: 'Each signs in first.', item: items(endings, SIGN_IN) },
    ],
  };
}

const DESCRIPTION = `Every route of the service, made from its OpenAPI document by \`npm run docs\`. Run the first folder, then sign in and try
whatever you like: tokens and ids of answers are kept in variables. \`adminToken\`, \`clientId\`, \`clientSecret\`, \`metricsToken\` and
\`cognitoToken\` are yours to fill in. What the settings of a service leave out answers 404 there. Whoever runs it as a whole meets the limits: set RATE_LIMIT_PER_IP, or wait between requests.`;

function tour(paths: OpenApi['paths']): Item[] {
  const of = (method: string, path: string) => {
    const operation = paths[path]?.[method.toLowerCase()];
    if (!operation) throw new Error(`The document has no ${method} ${path}`);
    return operation;
  };
  const step = (name: string, method: string, path: string, tests: string[], before?: string[]) =>
    itemOf(method, path, of(method, path), { name, tests, ...(before ? { before } : {}) });
  const answers = (status: number, what: string, expectation?: string) =>
    `pm.test('${what}', () => { pm.response.to.have.status(${status});${expectation ? ` ${expectation}` : ''} });`;
  return [
    step(
      '1. Register',
      'POST',
      '/api/auth/register',
      [answers(201, 'a confirmation is on its way', "pm.expect(pm.response.json().status).to.equal('verification_required');")],
      ["pm.collectionVariables.set('email', 'ada.' + Date.now() + '@example.com');", "pm.collectionVariables.set('looks', 0);"],
    ),
    step(
      '2. Read the mailbox',
      'GET',
      '/dev/mailbox',
      [
        "const mail = pm.response.json().messages.find(({ to }) => to === pm.collectionVariables.get('email'));",
        "const looks = Number(pm.collectionVariables.get('looks')) + 1;",
        "pm.collectionVariables.set('looks', looks);",
        'if (!mail && looks < 50) pm.execution.setNextRequest(pm.info.requestName);',
        "else pm.test('the mail has a link', () => {",
        "  const token = mail.links[0].split('#token=')[1];",
        '  pm.expect(token).to.have.length(43);',
        "  pm.collectionVariables.set('linkToken', token);",
        '});',
      ],
      ['setTimeout(() => {}, 100);'],
    ),
    step('3. Confirm the address', 'POST', '/api/auth/verify-email', [
      answers(200, 'it is confirmed', "pm.expect(pm.response.json().status).to.equal('verified');"),
    ]),
    step('4. Sign in', 'POST', '/api/auth/login', [
      answers(200, 'there are tokens', "pm.expect(pm.response.json()).to.include.keys('access_token', 'refresh_token');"),
    ]),
    step('5. Who am I', 'GET', '/api/auth/me', [
      answers(200, 'it is me', "pm.expect(pm.response.json().email).to.equal(pm.collectionVariables.get('email'));"),
    ]),
    step(
      '6. Trade the refresh token',
      'POST',
      '/api/auth/refresh',
      [answers(200, 'it was replaced', "pm.expect(pm.response.json().refresh_token).to.not.equal(pm.collectionVariables.get('traded'));")],
      ["pm.collectionVariables.set('traded', pm.collectionVariables.get('refreshToken'));"],
    ),
    step('7. Sign out', 'POST', '/api/auth/logout', [answers(204, 'the session is gone')]),
  ];
}
