import { Readable } from 'node:stream';
import type { exportAccount } from '#application/export-account.ts';
import { AccountExportView, accountExportText } from '../account-export.ts';
import { route } from '../route.ts';

const HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'content-disposition': 'attachment; filename="account-export.json"',
};

export function exportAccountRoute(use: ReturnType<typeof exportAccount>) {
  return route({
    method: 'GET',
    path: '/api/auth/me/export',
    tag: 'The account',
    summary: 'Everything held on the user',
    description: 'A versioned document (docs/account-export.md) without passwords, secrets or their hashes. Sent while it is read.',
    access: { aal: 'aal1', stepUp: true },
    problems: [],
    responses: { 200: { description: 'The export', schema: AccountExportView } },
    async handler({ principal, client }) {
      return { status: 200, body: Readable.from(accountExportText(await use(principal, client))), headers: HEADERS };
    },
  });
}
