import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What a caller of AWS signs with. The key id alone is public. */
export type AwsKeys = { accessKeyId: string; secretAccessKey: string };

const SKEW_MS = 15 * 60 * 1000;

/**
 * Whether a request is signed as AWS would have it (Signature Version 4, by headers): recomputed from what arrived, so that a stub
 * refuses what AWS would refuse.
 * @param service as `sns`, `ssm`, `s3`: the signature is good for no other
 * @param at the region in which the stub stands; any, when it does not say
 * @returns null when it is, else what is wrong
 */
export function wrongSignature(request: IncomingMessage, body: Buffer, keys: AwsKeys, service: string, at?: string): string | null {
  const { headers } = request;
  const form =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;
  const [, keyId, day = '', region = '', signedService, names = '', signature = ''] = form.exec(headers.authorization ?? '') ?? [];
  if (keyId === undefined) return 'there is no signature';
  if (keyId !== keys.accessKeyId) return 'the key is not known';
  if (signedService !== service || (at !== undefined && region !== at)) return `it is signed for ${signedService} in ${region}`;
  const date = String(headers['x-amz-date']);
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  if (!date.startsWith(day) || !(Math.abs(Date.now() - Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`)) < SKEW_MS))
    return 'the date is wrong';
  const signed = names.split(';');
  const isWhole = ['host', ...Object.keys(headers).filter((name) => name.startsWith('x-amz-'))].every((name) => signed.includes(name));
  if (!isWhole) return 'host and x-amz-* must be signed';

  const told = headers['x-amz-content-sha256'];
  const bodyHash = sha256(body);
  if (told !== undefined && told !== bodyHash && told !== 'UNSIGNED-PAYLOAD') return 'the body is another';
  const canonical = [
    request.method,
    canonicalPath(request.url ?? '/', service),
    canonicalQuery(request.url ?? '/'),
    ...signed.map((name) => `${name}:${String(headers[name]).trim().replace(/\s+/g, ' ')}`),
    '',
    names,
    told ?? bodyHash,
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    `AWS4${keys.secretAccessKey}`,
  );
  const right = createHmac('sha256', key).update(toSign).digest();
  return timingSafeEqual(right, Buffer.from(signature, 'hex')) ? null : 'the signature is wrong';
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** RFC 3986; encodeURIComponent leaves five characters that AWS encodes. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Each segment encoded once more than it is on the wire, except for S3. */
function canonicalPath(url: string, service: string): string {
  const { pathname } = new URL(url, 'http://aws');
  return service === 's3' ? pathname : pathname.split('/').map(encoded).join('/');
}

function canonicalQuery(url: string): string {
  return [...new URL(url, 'http://aws').searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
}
