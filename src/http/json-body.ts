import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { refuse } from '#domain/problems.ts';
import { RefusalError } from './problem.ts';

/**
 * JSON bodies, and nothing else, read in one way only (ASVS 1.5.3): bytes that are not UTF-8, a key twice, a byte order mark, U+0000
 * and half a surrogate pair are refused, since the next parser might see something else; `__proto__` is too (ASVS 15.3.6).
 */
export function installJsonBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const text = textOf(request, body);
    if (text instanceof RefusalError) return done(text);
    if (text === '') return done(null, undefined);
    if (text.startsWith('\ufeff')) return done(malformed('The body begins with a byte order mark.'));
    return parse(request, text, (error, value) => {
      if (error) return done(malformed('The body is not valid JSON.'));
      const { keys, isClean } = inspect(value);
      if (!isClean) return done(malformed('The body holds text that is not valid Unicode.'));
      if (keys !== keysWritten(text)) return done(malformed('The body names a field twice.'));
      return done(null, value);
    });
  });
}

/** A form for the routes that OAuth gives one; a field twice is refused as in JSON (RFC 6749 3.2). */
export function installFormBody(app: FastifyInstance): void {
  app.addContentTypeParser<Buffer>('application/x-www-form-urlencoded', { parseAs: 'buffer' }, (request, body, done) => {
    if (!request.routeOptions.config.takesForm) return done(new RefusalError(refuse('unsupported-media-type')));
    const text = textOf(request, body);
    if (text instanceof RefusalError) return done(text);
    if (!isDecodable(text)) return done(malformed('The body is not a form in UTF-8.'));
    const fields = [...new URLSearchParams(text)];
    if (new Set(fields.map(([name]) => name)).size !== fields.length) return done(malformed('The body names a field twice.'));
    if (!fields.flat().every(isText)) return done(malformed('The body holds text that is not valid Unicode.'));
    return done(null, Object.fromEntries(fields));
  });
}

/** The text as it was sent: a decoder that repairs would make different passwords equal. */
function textOf({ headers }: FastifyRequest, body: Buffer): string | RefusalError {
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    // RFC 9110 15.5.16: the header tells the client that it is not the media type.
    return new RefusalError(refuse('unsupported-media-type', { detail: 'The body is encoded; send it as it is.' }), {
      'accept-encoding': 'identity',
    });
  }
  const charsets = [...(headers['content-type'] ?? '').matchAll(/;\s*charset\s*=\s*"?([^\s";]*)/gi)].map(([, name]) => name);
  if (!charsets.every((name) => /^utf-?8$/i.test(name ?? ''))) {
    return new RefusalError(refuse('unsupported-media-type', { detail: 'The body must be in UTF-8.' }));
  }

  return isUtf8(body) ? body.toString() : malformed('The body is not UTF-8.');
}

/** Whether each percent sign begins a byte, and all of them are UTF-8: URLSearchParams takes anything. */
function isDecodable(form: string): boolean {
  try {
    decodeURIComponent(form);
    return true;
  } catch {
    return false;
  }
}

function malformed(detail: string): RefusalError {
  return new RefusalError(refuse('invalid-request', { detail, errors: [{ pointer: '', detail }] }));
}

/** How many keys the text writes, at any depth: strings that a colon follows. */
function keysWritten(text: string): number {
  let count = 0;
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"\s*(:?)/g)) if (match[1] === ':') count++;
  return count;
}

/** How many keys came of it, and whether all text is well formed. */
function inspect(value: unknown): { keys: number; isClean: boolean } {
  let keys = 0;
  let isClean = true;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string') isClean &&= isText(next);
    else if (Array.isArray(next)) open.push(...next);
    else if (typeof next === 'object' && next !== null) {
      for (const [key, member] of Object.entries(next)) {
        keys++;
        isClean &&= isText(key);
        open.push(member);
      }
    }
  }
  return { keys, isClean };
}

function isText(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
