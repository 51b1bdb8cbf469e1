import { escapeHtml } from '#domain/mail-layout.ts';

/** The frame of our own few pages: no script or style inline, nothing from elsewhere. @param body HTML, escaped by the caller */
export function page({ title, productName, body, script }: { title: string; productName: string; body: string; script?: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)} · ${escapeHtml(productName)}</title>
<link rel="stylesheet" href="/pages/style.css">
${script === undefined ? '' : `<script src="/pages/${script}" defer></script>`}
</head>
<body>
<header><a href="/">${escapeHtml(productName)}</a></header>
<main>
${body}
</main>
</body>
</html>
`;
}
