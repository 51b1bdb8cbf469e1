import { NotTaken } from '#application/ports/errors.ts';
import type { Delivery } from '#application/ports/services.ts';
import type { Sender } from './sender.ts';

const LONGEST_MS = 20_000;
/** Refused for what it is; every other refusal is about us (key, sender, rate) or about them. */
const PERMANENT = new Set([400, 413]);
const LONGEST_REASON = 300;

/** Mail by SendGrid's v3 API (`POST /v3/mail/send`), with its rewriting of links and its pixel switched off. */
export function sendgridDelivery({ apiKey, url }: { apiKey: string; url: string }, from: Sender): Delivery {
  return {
    async send({ id, to, subject, text, html }, signal) {
      const answer = await fetch(`${url}/v3/mail/send`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          personalizations: [{ to: [{ email: to }] }],
          from: { email: from.address, name: from.name },
          subject,
          content: [
            { type: 'text/plain', value: text },
            { type: 'text/html', value: html },
          ],
          headers: { 'Auto-Submitted': 'auto-generated' }, // RFC 3834
          custom_args: { latchkey_message_id: id },
          // A rewritten link would send its token through their server, and the pixel would tell who reads (ASVS 14.2.3).
          tracking_settings: {
            click_tracking: { enable: false, enable_text: false },
            open_tracking: { enable: false },
            subscription_tracking: { enable: false },
            ganalytics: { enable: false },
          },
        }),
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]),
      });
      if (answer.status === 202) {
        await answer.body?.cancel();
        return answer.headers.get('x-message-id');
      }
      throw new NotTaken(`SendGrid answered ${answer.status}: ${await reasonOf(answer)}`, {
        isPermanent: PERMANENT.has(answer.status),
        replyCode: String(answer.status),
        retryAfterSeconds: retryAfterSeconds(answer.headers, Date.now()),
      });
    },
  };
}

/** Asks what the key may do, and sends nothing. @throws NotTaken when SendGrid answers and refuses it; else what failed */
export async function greetSendgrid({ apiKey, url }: { apiKey: string; url: string }, withinMs: number): Promise<void> {
  const answer = await fetch(`${url}/v3/scopes`, {
    headers: { authorization: `Bearer ${apiKey}` },
    redirect: 'error',
    signal: AbortSignal.timeout(withinMs),
  });
  await answer.body?.cancel();
  if (answer.status === 401 || answer.status === 403)
    throw new NotTaken('the API key is refused', { isPermanent: false, replyCode: String(answer.status) });
}

async function reasonOf(answer: Response): Promise<string> {
  const text = (await answer.text().catch(() => '')).slice(0, 10_000);
  const said = /"message"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text;
  return said.slice(0, LONGEST_REASON);
}

/** Retry-After as seconds or as a date (RFC 9110 10.2.3), else SendGrid's own X-RateLimit-Reset (Unix time). */
function retryAfterSeconds(headers: Headers, nowMs: number): number {
  const retryAfter = headers.get('retry-after');
  const reset = headers.get('x-ratelimit-reset');
  const seconds = retryAfter === null ? Number(reset) - nowMs / 1000 : Number(retryAfter);
  const wanted = Number.isNaN(seconds) ? (Date.parse(retryAfter ?? '') - nowMs) / 1000 : seconds;
  return Number.isFinite(wanted) ? Math.max(0, wanted) : 0;
}
