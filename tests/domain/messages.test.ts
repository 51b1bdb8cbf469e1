import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as accountMessages from '#domain/account-messages.ts';
import { buttonTextColor, relativeLuminance } from '#domain/color.ts';
import { type Brand, dress, type Letter } from '#domain/mail-layout.ts';
import * as messages from '#domain/messages.ts';

const URL = 'https://app.example.com/verify-email#token=abc_-123';
const BRAND: Brand = { color: '#1f4fd8', supportUrl: 'https://help.example.com/?a=1&b=2' };
const ALL: [string, (product: string, url: string) => Letter][] = [
  ['verifyEmail', messages.verifyEmailMessage],
  ['accountExists', messages.accountExistsMessage],
  ['resetPassword', messages.resetPasswordMessage],
  ['passwordChanged', messages.passwordChangedMessage],
  ['passwordReset', messages.passwordResetMessage],
  ['passwordWithdrawn', messages.passwordWithdrawnMessage],
  ['refreshTokenReused', messages.refreshTokenReusedMessage],
  ['factorEnrolled', (product, url) => messages.factorEnrolledMessage(product, 'totp', url)],
  ['factorRemoved', (product, url) => messages.factorRemovedMessage(product, 'webauthn', url)],
  ['allFactorsRemoved', messages.allFactorsRemovedMessage],
  ['recoveryCodesMade', messages.recoveryCodesMadeMessage],
  ['recoveryCodeUsed', (product, url) => messages.recoveryCodeUsedMessage(product, 2, url)],
  ['secondFactorLocked', messages.secondFactorLockedMessage],
  ['passwordsGuessed', messages.passwordsGuessedMessage],
  ['newDevice', (product, url) => messages.newDeviceMessage(product, { kind: 'Firefox on Linux', ip: '192.0.2.1' }, new Date(0), url)],
  ['sessionMoved', messages.sessionMovedMessage],
  ['usernameChanged', messages.usernameChangedMessage],
  ['changeEmail', accountMessages.changeEmailMessage],
  ['addressTaken', accountMessages.addressTakenMessage],
  ['emailChangeAsked', accountMessages.emailChangeAskedMessage],
  ['emailChanged', accountMessages.emailChangedMessage],
  ['emailReverted', accountMessages.emailRevertedMessage],
  ['accountDeleted', (product, url) => accountMessages.accountDeletedMessage(product, 30, url)],
  ['accountKept', accountMessages.accountKeptMessage],
];

const unescaped = (html: string) => html.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)));
const linksOf = (html: string) => [...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => unescaped(href ?? ''));

describe('mails', () => {
  it.each(ALL)('%s say the same in text and HTML, name the product, and tell why they came', (_name, write) => {
    const { subject, text, html } = dress(write('Acme Sign-in', URL), BRAND);
    expect(subject).toContain('Acme Sign-in');
    expect(subject).not.toMatch(/[\r\n]/);
    expect(text).toMatch(/^You get this mail because .* Acme Sign-in/m);
    const words = (line: string) => line.replace(/[^A-Za-z]+/g, ' ').trim();
    const plain = words(unescaped(html.replace(/<style>.*<\/style>|<[^>]+>/g, ' ')));
    for (const line of text.split('\n').filter((line) => !line.includes('http'))) expect(plain).toContain(words(line));
  });

  it.each(ALL)('%s lead to the same places in text and HTML: the link as a button and in full, and help', (_name, write) => {
    const { text, html } = dress(write('Acme Sign-in', URL), BRAND);
    expect(text.match(/https:\S+/g)).toEqual([URL, BRAND.supportUrl]);
    expect(linksOf(html)).toEqual([URL, URL, BRAND.supportUrl]);
    expect(unescaped(html)).toContain(`>${URL}</a>`);
  });

  it.each(ALL)('%s ask for nothing from anywhere: no picture, font, script, form or pixel', (_name, write) => {
    const { html } = dress(write('Acme Sign-in', URL), BRAND);
    expect(html).not.toMatch(
      /<(img|link|script|form|iframe|object|embed|video|audio|base|svg)|src=|srcset=|url\(|@import|@font-face|\son\w+=/i,
    );
  });

  it('fit clients that know little: tables, inline styles, 600 px, and colours for dark mode', () => {
    const { html } = dress(messages.verifyEmailMessage('Acme', URL), BRAND);
    expect(html).toContain('max-width:600px');
    expect(html).toContain('role="presentation"');
    expect(html).toContain('prefers-color-scheme:dark');
    expect(html).toContain('<html lang="en">');
    expect(Buffer.byteLength(html)).toBeLessThan(102_400); // where Gmail cuts a mail off
  });

  it('name no help where there is none, and an address without its scheme', () => {
    const letter = messages.verifyEmailMessage('Acme', URL);
    expect(dress(letter, { ...BRAND, supportUrl: null }).text).not.toContain('Help');
    const { text, html } = dress(letter, { ...BRAND, supportUrl: 'mailto:help@example.com' });
    expect(text).toContain('\nHelp: help@example.com');
    expect(linksOf(html)).toContain('mailto:help@example.com');
  });

  it('[V1.2.1] hold no markup that is not their own, whatever the product, the link and the help are called', () => {
    const tags = (text: string) => text.replace(/[^<>"]/g, '');
    const usual = tags(dress(messages.verifyEmailMessage('x', 'y'), { ...BRAND, supportUrl: 'z' }).html);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (odd) => {
        const evil = `${odd}<script>"'&`;
        const { html } = dress(messages.verifyEmailMessage(evil, evil), { ...BRAND, supportUrl: evil });
        expect(tags(html)).toBe(usual);
        expect(html).not.toContain('<script');
      }),
    );
  });
});

describe('the text of a button', () => {
  it('can be read on every colour: 4.5 to 1 at least (WCAG 2.2, 1.4.3)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffff }), (value) => {
        const color = `#${value.toString(16).padStart(6, '0')}`;
        const [dark = 0, light = 0] = [relativeLuminance(color), relativeLuminance(buttonTextColor(color))].sort((a, b) => a - b);
        expect((light + 0.05) / (dark + 0.05)).toBeGreaterThanOrEqual(4.5);
      }),
    );
  });

  it('is white on dark and black on light', () => {
    expect(['#000000', '#1f4fd8', '#ffff00', '#FFFFFF'].map(buttonTextColor)).toEqual(['#ffffff', '#ffffff', '#000000', '#000000']);
  });
});
