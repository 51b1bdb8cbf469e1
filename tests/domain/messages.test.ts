import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as accountMessages from '#domain/account-messages.ts';
import * as messages from '#domain/messages.ts';

const URL = 'https://app.example.com/verify-email#token=abc_-123';
const ALL = Object.entries({
  verifyEmail: messages.verifyEmailMessage,
  accountExists: messages.accountExistsMessage,
  resetPassword: messages.resetPasswordMessage,
  passwordChanged: messages.passwordChangedMessage,
  passwordReset: messages.passwordResetMessage,
  refreshTokenReused: messages.refreshTokenReusedMessage,
  usernameChanged: messages.usernameChangedMessage,
  changeEmail: accountMessages.changeEmailMessage,
  addressTaken: accountMessages.addressTakenMessage,
  emailChangeAsked: accountMessages.emailChangeAskedMessage,
  emailChanged: accountMessages.emailChangedMessage,
  emailReverted: accountMessages.emailRevertedMessage,
  accountDeleted: (product: string, url: string) => accountMessages.accountDeletedMessage(product, 30, url),
  accountKept: accountMessages.accountKeptMessage,
});

describe('mails', () => {
  it.each(ALL)('%s say the same in text and HTML, name the product and hold the link', (_name, write) => {
    const { subject, text, html } = write('Acme Sign-in', URL);
    expect(subject).toContain('Acme Sign-in');
    expect(subject).not.toMatch(/[\r\n]/);
    expect(text).toContain(`\n${URL}\n`);
    expect(html).toContain(`href="${URL}"`);
    const words = (line: string) => line.replace(/[^A-Za-z]+/g, ' ').trim();
    const plain = words(html.replace(/<[^>]+>/g, ' ').replace(/&#\d+;/g, ' '));
    for (const line of text.split('\n').filter((line) => line !== URL)) expect(plain).toContain(words(line));
  });

  it('[V1.2.1] hold no markup that is not their own, whatever the product is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (product) => {
        const { html } = messages.verifyEmailMessage(`${product}<script>"'&`, URL);
        const tags = (text: string) => text.replace(/[^<>"]/g, '');
        expect(tags(html)).toBe(tags(messages.verifyEmailMessage('x', URL).html));
        expect(html).not.toContain('<script');
      }),
    );
  });
});
