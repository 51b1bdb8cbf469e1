import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { PROBLEMS, type ProblemCode } from '#domain/problems.ts';

/**
 * Holds answers against the OpenAPI document: path, method and status are declared, the body is what the schema says and no
 * more, a problem carries a code that this operation declares. Every answer that a test gets comes through here.
 */
export type Seen = { method: string; path: string; status: number; headers: Record<string, string>; text: string; body: unknown };

type Response = { content?: Record<string, { schema?: object }>; 'x-problem-codes'?: string[] };
type Document = {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>;
  components: { schemas: Record<string, object> };
};

const NDJSON = 'application/x-ndjson';
const PROBLEM_TYPE = 'application/problem+json';

const ajv = new Ajv2020({ strict: true, allErrors: true, strictTypes: false });
addFormats.default(ajv);
/** By the text of the definitions and of the schema: most services of a run have the same ones, and to compile them takes longer than to ask. */
const compiled = new Map<string, Map<string, ValidateFunction>>();

export function openapiCheck(document: Document): (seen: Seen) => void {
  // JSON Schema knows definitions where OpenAPI has components.
  const moved = (schema: object): object => JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', '#/$defs/'));
  const $defs = moved(document.components.schemas);
  const patterns = Object.keys(document.paths).map((template) => ({
    template,
    pattern: new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
  }));
  const defsText = JSON.stringify($defs);
  const ofThese = compiled.get(defsText) ?? new Map<string, ValidateFunction>();
  compiled.set(defsText, ofThese);
  const validatorOf = (schema: object): ValidateFunction => {
    const text = JSON.stringify(schema);
    const validate = ofThese.get(text) ?? ajv.compile({ ...moved(schema), $defs });
    ofThese.set(text, validate);
    return validate;
  };
  const problemSchema = { $ref: '#/components/schemas/Problem' };

  return (seen) => {
    const complain = (what: string): never => {
      throw new Error(`${seen.method} ${seen.path} → ${seen.status}: ${what}\n${seen.text.slice(0, 2000)}`);
    };
    const must = (isSo: boolean, what: string) => isSo || complain(what);
    const isJson = /\bjson\b/.test(seen.headers['content-type'] ?? '');
    const valid = (validate: ValidateFunction) =>
      must(validate(isJson ? seen.body : seen.text) === true, `the body is not as declared: ${ajv.errorsText(validate.errors)}`);
    const validLine = (validate: ValidateFunction, line: string) =>
      must(validate(JSON.parse(line)) === true, `a line is not as declared: ${ajv.errorsText(validate.errors)}`);
    const pathname = seen.path.split('?')[0] ?? '';
    const mediaType = seen.headers['content-type'] ?? '';
    const isApi = /^\/(api|auth)\//.test(pathname);

    must((seen.headers['x-request-id'] ?? '') !== '', 'there is no X-Request-Id');
    if (isApi) must(seen.headers['cache-control'] === 'no-store', 'Cache-Control is not no-store');
    if (seen.status === 401) must('www-authenticate' in seen.headers, 'a 401 without WWW-Authenticate (RFC 9110 15.5.2)');
    if (seen.status === 429 || seen.status === 503) must(/^[1-9]\d*$/.test(seen.headers['retry-after'] ?? ''), 'there is no Retry-After');
    const isProblem = mediaType.startsWith(PROBLEM_TYPE);
    if (isProblem) {
      valid(validatorOf(problemSchema));
      checkProblem(seen, must);
    }

    const template = document.paths[pathname] ? pathname : patterns.find(({ pattern }) => pattern.test(pathname))?.template;
    const operation = template === undefined ? undefined : document.paths[template]?.[seen.method.toLowerCase()];
    if (template === undefined || operation === undefined) {
      must(!isApi || (isProblem && [404, 405, 400, 421].includes(seen.status)), 'the document does not know this operation');
      return;
    }
    const response = operation.responses[String(seen.status)];
    if (response === undefined) return complain('this status is not declared');
    const declared = Object.entries(response.content ?? {});
    if (declared.length === 0) return void must(seen.text === '', 'there is a body, yet none is declared');
    const found = declared.find(([type]) => mediaType.startsWith(type));
    if (found === undefined) {
      must(mediaType.startsWith('text/html') && pathname === '/dev/mailbox', `the content type ${mediaType} is not declared`);
      return;
    }
    const codes = response['x-problem-codes'];
    if (isProblem) must(codes?.includes(codeOf(seen.body)) === true, `the code ${codeOf(seen.body)} is not declared`);
    else if (found[0] === NDJSON)
      for (const body of seen.text.split('\n').slice(0, -1)) validLine(validatorOf(found[1].schema ?? {}), body);
    else valid(validatorOf(found[1].schema ?? {}));
  };
}

function checkProblem({ body, status, headers }: Seen, must: (isSo: boolean, what: string) => unknown): void {
  const code = codeOf(body);
  must(Object.hasOwn(PROBLEMS, code), `there is no problem ${code} in the catalogue`);
  must(PROBLEMS[code as ProblemCode].status === status, 'the catalogue has another status for this code');
  const { status: told, detail, instance } = body as { status: number; detail: string; instance: string };
  must(told === status, 'the problem tells another status');
  must(detail.length > 0, 'the problem has no detail');
  must(instance === headers['x-request-id'], 'the problem names another request');
  must(headers['cache-control'] === 'no-store', 'a problem may be stored');
}

/** The code at the end of a problem's `type`. */
export function codeOf(body: unknown): string {
  const type = typeof body === 'object' && body !== null && 'type' in body ? String(body.type) : '';
  return type.slice(type.lastIndexOf('/') + 1);
}
