import { buttonTextColor } from './color.ts';

/** A mail as people read it: what is sent. */
export type Message = { subject: string; text: string; html: string };

/** What a mail says, before it is dressed. Links come from the operator's settings and our own tokens only. */
export type Letter = {
  product: string;
  subject: string;
  heading: string;
  lines: string[];
  action?: { label: string; url: string };
  closing: string;
  /** Why this address got it, as a sentence. */
  why?: string;
};

/** How the operator wants mails to look. */
export type Brand = {
  /** Of the button, as `#rrggbb`. */
  color: string;
  /** Where people find help: an https: or mailto: URL. */
  supportUrl: string | null;
};

/**
 * Dresses a letter as text and HTML that say the same. The HTML is what mail clients agree on: tables, inline styles, 600 px at
 * most, and a style sheet for dark mode that may be dropped. It asks for nothing from anywhere: no picture, font or pixel tells
 * a server that it was read.
 */
export function dress({ product, subject, why, ...letter }: Letter, { color, supportUrl }: Brand): Message {
  const reason = why ?? `You get this mail because your account at ${product} has this address.`;
  const help = supportUrl?.replace(/^mailto:/, '');
  const text = [
    letter.heading,
    '',
    ...letter.lines,
    ...(letter.action ? ['', `${letter.action.label}:`, letter.action.url] : []),
    '',
    letter.closing,
    '',
    `-- ${product}`,
    reason,
    ...(help === undefined ? [] : [`Help: ${help}`]),
  ].join('\n');
  const footer = [escapeHtml(product), escapeHtml(reason), ...(supportUrl ? [`Help: ${link(supportUrl, help ?? '', MUTED)}`] : [])];
  const rows = [
    `<h1 class="ink" style="margin:0 0 16px;font-size:22px;line-height:1.3;color:${INK}">${escapeHtml(letter.heading)}</h1>`,
    ...letter.lines.map((line) => paragraph('ink', `margin:0 0 16px;font-size:16px;color:${INK}`, escapeHtml(line))),
    ...(letter.action ? [button(letter.action, color)] : []),
    paragraph('muted', `margin:0;font-size:14px;color:${MUTED}`, escapeHtml(letter.closing)),
  ];
  const html = page(escapeHtml(subject), escapeHtml(letter.lines[0] ?? ''), rows.join('\n'), footer.join('<br>'));
  return { subject, text, html };
}

const INK = '#1c2330';
const MUTED = '#5b6472';
const FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const TABLE = 'role="presentation" cellpadding="0" cellspacing="0" border="0"';
const DARK = [
  '.ground{background-color:#14181f !important}',
  '.card{background-color:#1f2530 !important;border-color:#343c4a !important}',
  '.ink{color:#eef1f6 !important}',
  '.muted,.muted a{color:#aab3c2 !important}',
].join('');

function page(title: string, preheader: string, content: string, footer: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${title}</title>
<style>@media (prefers-color-scheme:dark){${DARK}}</style>
</head>
<body class="ground" style="margin:0;padding:0;background-color:#f4f5f7">
<div style="display:none;max-height:0;overflow:hidden">${preheader}</div>
<table ${TABLE} width="100%" class="ground" style="background-color:#f4f5f7"><tr><td align="center" style="padding:24px 12px">
<table ${TABLE} width="100%" style="max-width:600px">
<tr><td class="card" style="padding:32px;background-color:#ffffff;border:1px solid #e3e6ea;border-radius:8px;${FONT}">
${content}
</td></tr>
<tr><td class="muted" style="padding:16px 32px;font-size:12px;line-height:1.5;color:${MUTED};${FONT}">${footer}</td></tr>
</table>
</td></tr></table>
</body>
</html>`;
}

/** The button, and its link in full for those whose client shows none, or who want to see where it leads. */
function button({ label, url }: { label: string; url: string }, color: string): string {
  const style = `display:inline-block;padding:12px 24px;font-size:16px;font-weight:600;color:${buttonTextColor(color)};text-decoration:none`;
  return `<table ${TABLE} style="margin:8px 0 16px"><tr><td bgcolor="${color}" style="border-radius:6px;background-color:${color}">
<a href="${escapeHtml(url)}" style="${style}">${escapeHtml(label)}</a></td></tr></table>
${paragraph('muted', `margin:0 0 16px;font-size:13px;word-break:break-all;color:${MUTED}`, link(url, url, MUTED))}`;
}

function paragraph(className: string, style: string, html: string): string {
  return `<p class="${className}" style="line-height:1.5;${style}">${html}</p>`;
}

function link(url: string, label: string, color: string): string {
  return `<a href="${escapeHtml(url)}" style="color:${color}">${escapeHtml(label)}</a>`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
