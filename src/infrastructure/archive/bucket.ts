import { createReadStream } from 'node:fs';
import { mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, NoSuchKey, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { Files } from './archive-store.ts';

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
}: {
  bucket: string;
  prefix: string;
  region: string;
  endpoint: string | undefined;
}): Files {
  // Other services that speak S3 have no host name for each bucket.
  const client = new S3Client({ region, ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }) });
  const keyOf = (name: string) => (prefix === '' ? name : `${prefix}/${name}`);
  let drafts: Promise<string> | undefined;
  return {
    location: `s3://${bucket}/${prefix}`,
    draftFolder() {
      drafts ??= mkdtemp(path.join(tmpdir(), 'latchkey-archive-'));
      return drafts;
    },
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
