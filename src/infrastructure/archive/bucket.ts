import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, NoSuchKey, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { Files } from './archive-store.ts';

const CONNECT_MS = 5000;
/** A peer that sends and takes nothing for so long, a big file's end included, is gone: the AWS SDK alone would wait for ever. */
const SILENCE_MS = 5 * 60_000;

/**
 * Archives in a bucket (AUDIT_ARCHIVE_URL=s3://bucket/prefix). One PUT a file, with its SHA-256: the service refuses what arrives
 * otherwise, and an object appears whole or not at all. Its limit is 5 GB, some hundred million events a month.
 * Credentials come as AWS gives them: variables, profile, or the role of the machine.
 */
export function bucketFiles({
  bucket,
  prefix,
  region,
  endpoint,
  silenceMs = SILENCE_MS,
}: {
  bucket: string;
  prefix: string;
  region: string;
  endpoint: string | undefined;
  silenceMs?: number;
}): Files {
  const client = new S3Client({
    region,
    // Nobody closes an archive: what it opens ends with each answer.
    requestHandler: {
      httpAgent: { keepAlive: false },
      httpsAgent: { keepAlive: false },
      connectionTimeout: CONNECT_MS,
      socketTimeout: silenceMs,
    },
    // Other services that speak S3 have no host name for each bucket.
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
  });
  const keyOf = (name: string) => (prefix === '' ? name : `${prefix}/${name}`);
  return {
    location: `s3://${bucket}/${prefix}`,
    draftFolder: async () => tmpdir(), // a draft has a name that nobody can guess, is for our eyes only, and goes once it is sent
    async publish(draft, name, sha256) {
      const { size } = await stat(draft);
      await client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: keyOf(name),
          Body: createReadStream(draft),
          ContentLength: size,
          ChecksumSHA256: sha256.toString('base64'),
          ContentType: name.endsWith('.gz') ? 'application/gzip' : 'application/json',
        }),
      );
    },
    async open(name) {
      try {
        const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: keyOf(name) }));
        return Body instanceof Readable ? Body : null;
      } catch (error) {
        if (error instanceof NoSuchKey) return null;
        throw error;
      }
    },
    async list() {
      const names: string[] = [];
      for (let after: string | undefined; ; ) {
        const { Contents = [], NextContinuationToken } = await client.send(
          new ListObjectsV2Command({ Bucket: bucket, Prefix: keyOf(''), ...(after === undefined ? {} : { ContinuationToken: after }) }),
        );
        names.push(...Contents.map(({ Key = '' }) => Key.slice(keyOf('').length)));
        if (NextContinuationToken === undefined) return names.sort();
        after = NextContinuationToken;
      }
    },
  };
}
