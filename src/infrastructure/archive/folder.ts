import { createReadStream } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Files } from './archive-store.ts';

const OLD_MS = 24 * 60 * 60 * 1000;

/** Archives in a folder of this machine (AUDIT_ARCHIVE_URL=file:///…). A rename makes a file appear, and both are on the disk by then. */
export function folderFiles(folder: string): Files {
  return {
    location: `file://${folder}`,
    async draftFolder() {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await removeOldDrafts(folder);
      return folder;
    },
    async publish(draft, name) {
      await rename(draft, path.join(folder, name));
      const handle = await open(folder);
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    },
    async open(name) {
      const file = path.join(folder, name);
      const isThere = await access(file).then(
        () => true,
        () => false,
      );
      return isThere ? createReadStream(file) : null;
    },
    list: async () => (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith('.')).sort(),
  };
}

/** What a process that was killed left behind. */
async function removeOldDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^\.audit-.*\.draft$/.test(name)) continue;
    const draft = path.join(folder, name);
    const { mtimeMs } = await stat(draft);
    if (mtimeMs < Date.now() - OLD_MS) await rm(draft, { force: true });
  }
}
