import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { userHandleOf } from '#domain/passkeys.ts';
import { simpleWebAuthn } from '#infrastructure/webauthn/passkeys.ts';
import { cbor, type Lie, softwareAuthenticator } from '#tests/support/authenticator.ts';

const RP_ID = 'example.org';
const ORIGIN = 'https://example.org';
const SECOND_ORIGIN = 'https://www.example.org';
const account = { id: '01a1fc57-7735-7605-ad12-93c1f15c098b', email: 'ada@example.org', displayName: 'Ada' };

const warnings: Error[] = [];
process.on('warning', (warning) => warnings.push(warning));

const passkeys = simpleWebAuthn({ rpId: RP_ID, rpName: 'Example', origins: [ORIGIN, SECOND_ORIGIN] });
const newChallenge = () => randomBytes(32).toString('base64url');
const newAuthenticator = () => softwareAuthenticator({ origin: ORIGIN, rpId: RP_ID });

/** One registration; the client's answer may be edited on its way. */
async function register(how: Lie = {}, authenticator = newAuthenticator(), edit = <T>(answer: T): unknown => answer) {
  const challenge = newChallenge();
  const options = await passkeys.creationOptions({ account, challenge, exclude: [] });
  return await passkeys.verifyRegistration(edit(authenticator.create(options, how)), challenge);
}

async function registered(authenticator = newAuthenticator(), how: Lie = {}) {
  const credential = await register(how, authenticator);
  if (credential === null) throw new Error('the registration was refused');
  return { authenticator, credential };
}

/** One sign-in with a fresh passkey, which was as it says now unless `made` says otherwise. */
async function authenticate(how: Lie = {}, made: Lie = how) {
  const { authenticator, credential } = await registered(newAuthenticator(), { backupState: made.backupState ?? 'device-bound' });
  const challenge = newChallenge();
  const options = await passkeys.requestOptions({ challenge, allow: [credential] });
  return await passkeys.verifyAuthentication(authenticator.get(options, how), challenge, credential);
}

describe('the options', () => {
  it('of a registration ask for a discoverable passkey, verified if possible, attested by nobody', async () => {
    const challenge = newChallenge();
    const exclude = [{ credentialId: Buffer.from('an id'), transports: ['usb'] }];
    expect(await passkeys.creationOptions({ account, challenge, exclude })).toMatchObject({
      challenge,
      rp: { id: RP_ID, name: 'Example' },
      user: { id: Buffer.from(account.id.replaceAll('-', ''), 'hex').toString('base64url'), name: account.email, displayName: 'Ada' },
      pubKeyCredParams: [-7, -8, -257].map((alg) => ({ alg, type: 'public-key' })),
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'preferred' },
      attestation: 'none',
      timeout: 300_000,
      excludeCredentials: [{ id: Buffer.from('an id').toString('base64url'), transports: ['usb'], type: 'public-key' }],
    });
  });

  it('of a sign-in name the passkeys that may answer, or none for any', async () => {
    const challenge = newChallenge();
    const allow = [{ credentialId: Buffer.from('an id'), transports: [] }];
    const common = { challenge, rpId: RP_ID, userVerification: 'preferred', timeout: 300_000 };
    expect(await passkeys.requestOptions({ challenge, allow: [] })).toMatchObject({ ...common, allowCredentials: [] });
    expect(await passkeys.requestOptions({ challenge, allow })).toMatchObject({
      ...common,
      allowCredentials: [{ id: Buffer.from('an id').toString('base64url'), type: 'public-key' }],
    });
  });
});

describe('a registration', () => {
  it('yields what is stored, and what the client said of itself is read before', async () => {
    const challenge = newChallenge();
    const answer = newAuthenticator().create(await passkeys.creationOptions({ account, challenge, exclude: [] }));
    const credentialId = Buffer.from(answer.id, 'base64url');
    expect(passkeys.read(answer)).toEqual({ challenge, credentialId, userHandle: null });
    expect(await passkeys.verifyRegistration(answer, challenge)).toEqual({
      credentialId,
      publicKey: expect.any(Buffer),
      transports: ['hybrid', 'internal'],
      signCount: 1,
      aaguid: '1a7c4e50-a1b2-4c3d-8e9f-00112233aabb',
      isUserVerified: true,
      isBackupEligible: false,
      isBackedUp: false,
    });
  });

  it('tells an unverified user, and a passkey that is or can be synced', async () => {
    expect(await register({ userVerified: false })).toMatchObject({ isUserVerified: false });
    expect(await register({ backupState: 'eligible' })).toMatchObject({ isBackupEligible: true, isBackedUp: false });
    expect(await register({ backupState: 'backed-up' })).toMatchObject({ isBackupEligible: true, isBackedUp: true });
  });

  it('takes the longest id, each of our origins, and of the transports those that there are', async () => {
    expect(await register({ credentialId: randomBytes(1023) })).not.toBeNull();
    expect(await register({ origin: SECOND_ORIGIN })).not.toBeNull();
    for (const [given, kept] of [
      [['usb', 'null', '<script>', 7], []],
      [
        ['usb', 'null', '},{', 'nfc', 'usb'],
        ['nfc', 'usb'],
      ],
      [undefined, []],
      ['usb', []],
    ]) {
      expect(await register({}, newAuthenticator(), withResponse({ transports: given }))).toMatchObject({ transports: kept });
    }
  });

  it.each<[string, Lie]>([
    ['of a sign-in', { type: 'webauthn.get' }],
    ['to another challenge', { challenge: newChallenge() }],
    ['to no challenge', { challenge: '' }],
    ['from the same host without TLS', { origin: 'http://example.org' }],
    ['from a host below ours', { origin: 'https://evil.example.org' }],
    ['from another port', { origin: 'https://example.org:8443' }],
    ['from a look-alike', { origin: 'https://example.org.evil.com' }],
    ['from a frame in a foreign page', { crossOrigin: true }],
    ['from a foreign page that calls itself ours', { topOrigin: 'https://evil.com' }],
    ['for another relying party', { rpId: 'evil.com' }],
    ['without a present user', { userPresent: false }],
    ['that is backed up and cannot be', { backupState: 'impossible' }],
    ['with an id of 1024 bytes', { credentialId: randomBytes(1024) }],
    ['with an empty id', { credentialId: Buffer.of() }],
    ['with a byte behind the authenticator data', { trailingBytes: Buffer.of(0) }],
    ['with an item behind the authenticator data', { trailingBytes: cbor('more') }],
    ['with a byte behind the attestation object', { trailingCbor: Buffer.of(0) }],
    ['with a second attestation object', { trailingCbor: cbor(new Map([['fmt', 'none']])) }],
    ['with bytes like the end that we look for', { trailingCbor: cbor(randomBytes(16)) }],
  ])('%s is refused', async (_what, lie) => {
    expect(await register()).not.toBeNull();
    expect(await register(lie)).toBeNull();
  });

  it('under another id than the authenticator gave is refused', async () => {
    const other = randomBytes(32).toString('base64url');
    expect(await register({}, newAuthenticator(), (answer) => ({ ...answer, id: other, rawId: other }))).toBeNull();
    expect(await register({}, newAuthenticator(), (answer) => ({ ...answer, rawId: other }))).toBeNull();
  });
});

describe('a sign-in', () => {
  it('yields what the flow judges, and what the client said of itself is read before', async () => {
    const { authenticator, credential } = await registered();
    const challenge = newChallenge();
    const answer = authenticator.get(await passkeys.requestOptions({ challenge, allow: [] }));
    expect(passkeys.read(answer)).toEqual({ challenge, credentialId: credential.credentialId, userHandle: userHandleOf(account.id) });
    const verified = await passkeys.verifyAuthentication(answer, challenge, credential);
    expect(verified).toEqual({ isUserVerified: true, signCount: 2, isBackupEligible: false, isBackedUp: false });
  });

  it('tells an unverified user and a synced passkey, and leaves the counter to the flow', async () => {
    expect(await authenticate({ userVerified: false })).toMatchObject({ isUserVerified: false });
    expect(await authenticate({ backupState: 'backed-up' })).toMatchObject({ isBackedUp: true });
    expect(await authenticate({ signCount: 0 })).toMatchObject({ signCount: 0 });
    expect(await authenticate({ signCount: 0xffff_ffff })).toMatchObject({ signCount: 0xffff_ffff });
  });

  it('needs no user handle, and is read with one of 64 bytes at most', async () => {
    const { authenticator, credential } = await registered();
    const options = await passkeys.requestOptions({ challenge: newChallenge(), allow: [credential] });
    expect(passkeys.read(authenticator.get(options, { userHandle: null }))).toMatchObject({ userHandle: null });
    const handleOfNull = withResponse({ userHandle: null })(authenticator.get(options));
    expect(passkeys.read(handleOfNull)).toMatchObject({ userHandle: null });
    const longest = randomBytes(64);
    expect(passkeys.read(authenticator.get(options, { userHandle: longest }))).toMatchObject({ userHandle: longest });
    for (const length of [0, 65]) {
      expect(passkeys.read(authenticator.get(options, { userHandle: randomBytes(length) })), `${length} bytes`).toBeNull();
    }
  });

  it.each<[string, Lie]>([
    ['of a registration', { type: 'webauthn.create' }],
    ['to another challenge', { challenge: newChallenge() }],
    ['to no challenge', { challenge: '' }],
    ['from the same host without TLS', { origin: 'http://example.org' }],
    ['from a host below ours', { origin: 'https://evil.example.org' }],
    ['from another port', { origin: 'https://example.org:8443' }],
    ['from a look-alike', { origin: 'https://example.org.evil.com' }],
    ['from a frame in a foreign page', { crossOrigin: true }],
    ['from a foreign page that calls itself ours', { topOrigin: 'https://evil.com' }],
    ['for another relying party', { rpId: 'evil.com' }],
    ['without a present user', { userPresent: false }],
    ['that is backed up and cannot be', { backupState: 'impossible' }],
    ['that can be backed up and could not', { backupState: 'eligible' }],
    ['with a bit of the signature changed', { tamperSignature: true }],
    ['under the id of another passkey', { credentialId: randomBytes(32) }],
    ['with a byte behind the authenticator data, signed', { trailingBytes: Buffer.of(0) }],
    ['with an item behind the authenticator data, signed', { trailingBytes: cbor(new Map([['credProtect', 1]])) }],
  ])('%s is refused', async (_what, lie) => {
    expect(await authenticate()).not.toBeNull();
    expect(await authenticate(lie, {})).toBeNull();
  });

  it('that cannot be backed up and could is refused', async () => {
    expect(await authenticate({ backupState: 'device-bound' }, { backupState: 'eligible' })).toBeNull();
  });

  it('with the key of another passkey is refused, under either id', async () => {
    const { authenticator, credential: mine } = await registered();
    const { credential: newer } = await registered(authenticator);
    const challenge = newChallenge();
    const options = await passkeys.requestOptions({ challenge, allow: [] });
    const claimed = authenticator.get(options, { credentialId: mine.credentialId });
    expect(await passkeys.verifyAuthentication(claimed, challenge, mine)).toBeNull();
    expect(await passkeys.verifyAuthentication(authenticator.get(options), challenge, mine)).toBeNull();
    expect(await passkeys.verifyAuthentication(authenticator.get(options), challenge, newer)).not.toBeNull();
  });

  it('is refused when any one byte of what was signed, or of the signature, is another', async () => {
    const { authenticator, credential } = await registered();
    const challenge = newChallenge();
    const answer = authenticator.get(await passkeys.requestOptions({ challenge, allow: [credential] }));
    for (const field of ['authenticatorData', 'clientDataJSON', 'signature'] as const) {
      const bytes = Buffer.from(answer.response[field], 'base64url');
      for (const index of bytes.keys()) {
        const changed = Buffer.from(bytes);
        changed.writeUInt8(changed.readUInt8(index) ^ 0x10, index);
        const forged = withResponse({ [field]: changed.toString('base64url') })(answer);
        expect(await passkeys.verifyAuthentication(forged, challenge, credential), `${field} ${index}`).toBeNull();
      }
    }
  });
});

describe('a response of any other shape', () => {
  const long = 'A'.repeat(10_000_000);
  const deep = Buffer.alloc(12_000, 0x81).toString('base64url');
  const manyItems = Buffer.from('bb00000000ffffffff', 'hex').toString('base64url');

  async function expectRefused(
    credential: unknown,
    challenge: string,
    passkey: { credentialId: Buffer; publicKey: Buffer; isBackupEligible: boolean },
    what: string,
  ) {
    expect(await passkeys.verifyRegistration(credential, challenge), what).toBeNull();
    expect(await passkeys.verifyAuthentication(credential, challenge, passkey), what).toBeNull();
  }

  it('is refused, as is one whose fields are anything else', async () => {
    const { authenticator, credential } = await registered();
    const challenge = newChallenge();
    const created = authenticator.create(await passkeys.creationOptions({ account, challenge, exclude: [] }));
    const got = authenticator.get(await passkeys.requestOptions({ challenge, allow: [credential] }));
    expect(await passkeys.verifyRegistration(created, challenge)).not.toBeNull();
    expect(await passkeys.verifyAuthentication(got, challenge, credential)).not.toBeNull();

    const values = [null, undefined, true, 0, -1, 1e300, '', ' ', '=', 'not base64url!', long, [], [[]], {}, [got], { length: 1 }];
    const more = [JSON.parse('{"__proto__":{"id":"x"}}'), deep, manyItems, `${got.id}=`, ` ${got.id}`];
    for (const value of [...values, ...more]) {
      const shown = String(JSON.stringify(value)).slice(0, 40);
      await expectRefused(value, challenge, credential, shown);
      expect(passkeys.read(value), shown).toBeNull();
      for (const field of ['type', 'response']) expect(passkeys.read({ ...got, [field]: value }), `${field} ${shown}`).toBeNull();
      for (const field of ['id', 'rawId', 'type', 'response']) {
        for (const answer of [created, got]) await expectRefused({ ...answer, [field]: value }, challenge, credential, `${field} ${shown}`);
      }
      for (const field of ['clientDataJSON', 'attestationObject']) {
        expect(await passkeys.verifyRegistration(withResponse({ [field]: value })(created), challenge), `${field} ${shown}`).toBeNull();
      }
      for (const field of ['clientDataJSON', 'authenticatorData', 'signature']) {
        const forged = withResponse({ [field]: value })(got);
        expect(await passkeys.verifyAuthentication(forged, challenge, credential), `${field} ${shown}`).toBeNull();
      }
    }
  });

  it('is refused when its client data is anything else', async () => {
    const { authenticator } = await registered();
    const challenge = newChallenge();
    const created = authenticator.create(await passkeys.creationOptions({ account, challenge, exclude: [] }));
    const texts = [
      '',
      'null',
      '[]',
      '7',
      '"x"',
      '{',
      '{}',
      '\u0000',
      `{"challenge":"${challenge}"}`,
      `{"__proto__":{"challenge":"${challenge}"}}`,
    ];
    for (const text of texts) {
      const clientDataJSON = Buffer.from(text).toString('base64url');
      expect(await passkeys.verifyRegistration(withResponse({ clientDataJSON })(created), challenge), text).toBeNull();
    }
    for (const said of [null, 7, [], {}, '', 'a b', `${challenge}=`, 'A'.repeat(1000)]) {
      const clientDataJSON = Buffer.from(JSON.stringify({ type: 'webauthn.create', challenge: said, origin: ORIGIN })).toString(
        'base64url',
      );
      expect(passkeys.read(withResponse({ clientDataJSON })(created)), JSON.stringify(said)).toBeNull();
    }
  });

  it('never makes it throw', async () => {
    const { authenticator, credential } = await registered();
    const challenge = newChallenge();
    const created = authenticator.create(await passkeys.creationOptions({ account, challenge, exclude: [] }));
    const attestation = Buffer.from(created.response.attestationObject, 'base64url');
    const mutated = fc.tuple(fc.nat(attestation.length - 1), fc.uint8Array({ maxLength: 8 })).map(([at, patch]) => {
      const attestationObject = Buffer.concat([attestation.subarray(0, at), patch, attestation.subarray(at + patch.length)]);
      return withResponse({ attestationObject: attestationObject.toString('base64url') })(created);
    });
    const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => {
      const text = Buffer.from(bytes).toString('base64url');
      return withResponse({ attestationObject: text, authenticatorData: text, signature: text, userHandle: undefined })(created);
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, noise, fc.anything({ withNullPrototype: true })), async (answer) => {
        passkeys.read(answer);
        await passkeys.verifyRegistration(answer, challenge);
        expect(await passkeys.verifyAuthentication(answer, challenge, credential)).toBeNull();
      }),
      { numRuns: 500 },
    );
  });

  it('is refused when its stored key is none', async () => {
    const { authenticator, credential } = await registered();
    const challenge = newChallenge();
    const got = authenticator.get(await passkeys.requestOptions({ challenge, allow: [credential] }));
    for (const publicKey of [Buffer.of(), Buffer.from('key'), credential.publicKey.subarray(1), cbor(new Map([[1, 2]]))]) {
      expect(await passkeys.verifyAuthentication(got, challenge, { ...credential, publicKey })).toBeNull();
    }
  });
});

describe('the library of passkeys', () => {
  it('is loaded by a ceremony only', () => {
    const file = path.join(import.meta.dirname, '../../../src/infrastructure/webauthn/passkeys.ts');
    const script = `
      import { registerHooks } from 'node:module';
      const loaded = [];
      registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
      const count = () => loaded.filter((url) => url.includes('/@simplewebauthn/')).length;
      const { simpleWebAuthn } = await import(${JSON.stringify(file)});
      const passkeys = simpleWebAuthn({ rpId: 'x', rpName: 'x', origins: [] });
      passkeys.read({});
      const before = count();
      await passkeys.requestOptions({ challenge: 'AAAA', allow: [] });
      console.log(JSON.stringify([before, count() > 0]));
    `;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(JSON.parse(said)).toEqual([0, true]);
  });

  it('prints no warning', async () => {
    await authenticate();
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings.map(String)).toEqual([]);
  });
});

function withResponse(fields: object) {
  return <T>(answer: T): unknown => ({ ...answer, response: { ...(answer as { response: object }).response, ...fields } });
}
