import { readFileSync } from 'node:fs';
import path from 'node:path';
import { escapeHtml } from '#domain/mail-layout.ts';
import { page } from '../pages/page.ts';
import { type Route, route } from '../route.ts';

const HTML = { 'content-type': 'text/html; charset=utf-8' };

/**
 * Our own few pages: a front page, and those that links in mail lead to while no front end of the operator's does
 * (FRONTEND_URL). A page changes nothing when it is opened (ASVS 3.5.3).
 */
export function pageRoutes({ productName, hasMailbox }: { productName: string; hasMailbox: boolean }): Route[] {
  const name = escapeHtml(productName);
  const form = (title: string, intro: string, fields: string, button: string, posts: string, done: string, needs = 'token') =>
    page({
      title,
      productName,
      script: 'form.js',
      body: `<h1>${title}</h1>
<form method="post" data-posts="${posts}" data-done="${done}" data-needs="${needs}">
<p>${intro}</p>
${fields}<button>${button}</button>
</form>
<p role="status" aria-live="polite"></p>
<noscript><p class="card">This page needs JavaScript.</p></noscript>`,
    });

  return [
    served('/', HTML, frontPage(name, productName, hasMailbox)),
    served(
      '/verify-email',
      HTML,
      form(
        'Confirm your e-mail address',
        'Press the button to confirm that this address is yours.',
        '',
        'Confirm the address',
        '/api/auth/verify-email',
        'Your address is confirmed. You can sign in now.',
      ),
    ),
    served(
      '/reset-password',
      HTML,
      form(
        'Choose a new password',
        'Every session of your account will end.',
        '<label for="new_password">New password</label><input id="new_password" name="new_password" type="password" autocomplete="new-password" required maxlength="256">',
        'Set the password',
        '/api/auth/reset-password',
        'The new password holds. You can sign in now.',
      ),
    ),
    served(
      '/report-sign-in',
      HTML,
      form(
        'This was not me',
        'Every session of your account ends, its password works no more, and what was added or moved since that sign-in is undone. ' +
          'A link to choose a new password is sent to the address that you got the mail at.',
        '',
        'It was not me',
        '/api/auth/report-sign-in',
        'Your account is secured. The link to choose a new password is on its way to you.',
      ),
    ),
    served(
      '/forgot-password',
      HTML,
      form(
        'Ask for a new password',
        'If the address has an account, a link to choose a new password is sent to it.',
        '<label for="email">E-mail address</label><input id="email" name="email" type="email" autocomplete="email" required maxlength="254">',
        'Send the link',
        '/api/auth/forgot-password',
        'If the address has an account, the link is on its way.',
        'nothing',
      ),
    ),
    served(
      '/change-email',
      HTML,
      form(
        'Use this e-mail address',
        'Press the button to make the address that this link was sent to the address of your account.',
        '',
        'Use this address',
        '/api/auth/change-email/confirm',
        'This is the address of your account now.',
      ),
    ),
    served(
      '/revert-email',
      HTML,
      form(
        'Take your account back',
        'The e-mail address of before holds again, every session ends, and what was added to sign in with since the sign-in that changed it is removed.',
        '',
        'Take the account back',
        '/api/auth/change-email/revert',
        'The account is yours again. A link to choose a new password is on its way to your old address.',
      ),
    ),
    served(
      '/keep-account',
      HTML,
      form(
        'Keep your account',
        'The deletion is taken back, and everything is as it was. You sign in again to go on.',
        '',
        'Keep the account',
        '/api/auth/keep-account',
        'Your account is kept. You can sign in now.',
      ),
    ),
    served('/pages/style.css', { 'content-type': 'text/css; charset=utf-8' }, asset('style.css')),
    served('/pages/form.js', { 'content-type': 'text/javascript; charset=utf-8' }, asset('form.js')),
  ];
}

function frontPage(name: string, productName: string, hasMailbox: boolean): string {
  const mailbox = hasMailbox ? '<li><a href="/dev/mailbox">Development mailbox</a></li>' : '';
  return page({
    title: 'Sign-in service',
    productName,
    body: `<h1>${name}</h1>
<p>The sign-in service is running.</p>
<ul><li><a href="/docs">API reference</a></li><li><a href="/.well-known/jwks.json">Signing keys (JWKS)</a></li>${mailbox}</ul>`,
  });
}

function served(path: string, headers: Record<string, string>, content: string): Route {
  const body = Buffer.from(content);
  return route({
    method: 'GET',
    path,
    tag: 'Pages',
    summary: `The page ${path}`,
    hidden: true,
    access: 'public',
    problems: [],
    responses: { 200: { description: 'The page' } },
    handler: async () => ({ status: 200, body, headers: { ...headers, 'cache-control': 'no-cache' } }),
  });
}

function asset(name: string): string {
  return readFileSync(path.join(import.meta.dirname, '../pages', name), 'utf8');
}
