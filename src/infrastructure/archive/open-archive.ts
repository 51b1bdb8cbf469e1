import { fileURLToPath } from 'node:url';
import type { ArchiveStore } from '#application/ports/audit-trail.ts';
import { archiveStore } from './archive-store.ts';
import { folderFiles } from './folder.ts';

/** The archive at AUDIT_ARCHIVE_URL. The S3 client is loaded only where it is used: it is a fifth of the memory of an idle service. */
export async function openArchive(
  url: string,
  { region, endpoint }: { region: string; endpoint: string | undefined },
): Promise<ArchiveStore> {
  const parsed = new URL(url);
  if (parsed.protocol === 'file:') return archiveStore(folderFiles(fileURLToPath(parsed)));
  const { bucketFiles } = await import('./bucket.ts');
  return archiveStore(bucketFiles({ bucket: parsed.hostname, prefix: parsed.pathname.replace(/^\/|\/$/g, ''), region, endpoint }));
}
