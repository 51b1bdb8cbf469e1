import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AwsKeys, wrongSignature } from './sigv4.ts';

export type S3 = {
  endpoint: string;
  /** By key, as `bucket/name`. */
  objects: Map<string, Buffer>;
  /** What the next PUT loses of its body on the way. */
  damageNextPut(): void;
  stop(): Promise<void>;
};

/** What archives need of S3, over its real protocol: PUT with a checksum, GET, ListObjectsV2; only what is signed (SigV4). */
export async function fakeS3(keys: AwsKeys): Promise<S3> {
  const objects = new Map<string, Buffer>();
  let isDamaging = false;
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://s3');
    const key = decodeURIComponent(pathname.slice(1));
    if (wrongSignature(request, body, keys, 's3')) return fail(response, 403, 'SignatureDoesNotMatch');
    if (request.method === 'PUT') {
      const arrived = isDamaging ? body.subarray(1) : body;
      isDamaging = false;
      if (createHash('sha256').update(arrived).digest('base64') !== request.headers['x-amz-checksum-sha256'])
        return fail(response, 400, 'BadDigest');
      objects.set(key, arrived);
      return response.writeHead(200, { etag: '"x"' }).end();
    }
    if (request.method === 'GET' && searchParams.get('list-type') === '2') {
      const [bucket, prefix] = [key.replace(/\/$/, ''), searchParams.get('prefix') ?? ''];
      const keys = [...objects.keys()].flatMap((each) => (each.startsWith(`${bucket}/${prefix}`) ? [each.slice(bucket.length + 1)] : []));
      const from = Number(searchParams.get('continuation-token') ?? 0);
      const next = from + 2 < keys.length ? `<NextContinuationToken>${from + 2}</NextContinuationToken>` : '';
      const contents = keys.slice(from, from + 2).map((each) => `<Contents><Key>${each}</Key></Contents>`);
      return response.end(`<?xml version="1.0"?><ListBucketResult>${contents.join('')}${next}</ListBucketResult>`);
    }
    const object = objects.get(key);
    return object ? response.end(object) : fail(response, 404, 'NoSuchKey');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    damageNextPut: () => {
      isDamaging = true;
    },
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function fail(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`);
}
