import { flag, url, wholeNumber } from './schemas.ts';
import type { Setting } from './setting.ts';

export const AUDIT_SETTINGS = {
  AUDIT_RETENTION_DAYS: {
    describe: 'how long after its end a month of the audit trail stays in the database',
    schema: wholeNumber(30, 36_500),
    default: '90',
  },
  AUDIT_ARCHIVE_URL: {
    describe: 'where older months go: file:///folder or s3://bucket/prefix (default: nowhere, they stay)',
    schema: url('file:', 's3:').refine((value) => !/^file:\/\/[^/]/i.test(value), 'give the whole path of a folder: file:///var/audit'),
  },
  AUDIT_STDOUT: {
    describe: 'true: the worker prints each audit event as a line of JSON (ECS), at least once',
    schema: flag,
    default: 'false',
  },
} as const satisfies Record<string, Setting>;
