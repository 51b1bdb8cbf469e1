import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { oneTimePasswords } from '#infrastructure/otp/one-time-passwords.ts';
import { has } from '#tests/support/programs.ts';
import { base32, totpCode } from '#tests/support/totp.ts';

type Vectors = {
  rfc4226_appendix_d: { codes: string[] };
  rfc6238_appendix_b: { unix_time: number; algorithm: string; secret_base32: string; code: string }[];
};
const vectors = JSON.parse(readFileSync('tests/vectors/rfc-otp.json', 'utf8')) as Vectors;
const SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
const codes = oneTimePasswords({ issuer: 'Latchkey', pastSteps: 1 });

/** The codes of RFC 6238 have eight digits; the last six of them are those of an app. */
const sha1 = vectors.rfc6238_appendix_b
  .filter(({ algorithm }) => algorithm === 'SHA1')
  .map((vector) => ({ ...vector, six: vector.code.slice(2) }));

describe('a one-time password', () => {
  it.each(sha1)('[V11.4.1] at $unix_time is that of RFC 6238, and so is that of the tests', async ({ unix_time, secret_base32, six }) => {
    const at = new Date(unix_time * 1000);
    expect(await codes.stepOf(secret_base32, six, at)).toBe(Math.floor(unix_time / 30));
    expect(totpCode(secret_base32, at)).toBe(six);
  });

  it.each(vectors.rfc4226_appendix_d.codes.map((code, step) => ({ code, step })))(
    'of step $step is that of RFC 4226',
    async ({ code, step }) => {
      expect(await codes.stepOf(SECRET, code, new Date(step * 30_000))).toBe(step);
    },
  );

  it('[V6.5.5] is that of the present step or the one before, and of no other', async () => {
    const at = new Date(1_800_000_000_000);
    const step = at.getTime() / 30_000;
    const offsets = [-3, -2, -1, 0, 1, 2];
    const found = offsets.map((offset) => codes.stepOf(SECRET, totpCode(SECRET, new Date(at.getTime() + offset * 30_000)), at));
    expect(await Promise.all(found)).toEqual([null, null, step - 1, step, null, null]);
  });

  it('is six ASCII digits, and nothing else', async () => {
    const at = new Date(0);
    expect(await codes.stepOf(SECRET, '755224', at)).toBe(0);
    for (const other of ['', '75522', '7552240', ' 755224', '755224\n', '٧٥٥٢٢٤', '755 224', '+75522', '0x1234']) {
      expect(await codes.stepOf(SECRET, other, at)).toBeNull();
    }
  });
});

describe('an enrolment', () => {
  it('[V11.5.1] has a secret of 160 random bits', async () => {
    const made = await Promise.all(Array.from({ length: 50 }, () => codes.newSecret()));
    expect(new Set(made).size).toBe(50);
    for (const secret of made) expect(base32(secret)).toHaveLength(20);
  });

  it('names the service and the account in its URI, whatever signs are in them', async () => {
    const { uri } = await oneTimePasswords({ issuer: 'Ödland & Söhne: Login', pastSteps: 1 }).provisioning(SECRET, 'ada+x@example.com');
    const parsed = new URL(uri);
    expect([parsed.protocol, parsed.host]).toEqual(['otpauth:', 'totp']);
    expect(decodeURIComponent(parsed.pathname)).toBe('/Ödland & Söhne: Login:ada+x@example.com');
    expect(Object.fromEntries(parsed.searchParams)).toEqual({
      issuer: 'Ödland & Söhne: Login',
      secret: SECRET,
      algorithm: 'SHA1',
      digits: '6',
      period: '30',
    });
  });
});

describe('other programs agree', () => {
  it.runIf(has('oathtool'))('oathtool shows the code that is accepted', async () => {
    const secret = await codes.newSecret();
    const at = new Date(1_900_000_000_000);
    const { stdout } = spawnSync(
      'oathtool',
      ['--totp', '-b', '--now', at.toISOString().replace('T', ' ').replace('.000Z', ' UTC'), secret],
      {
        encoding: 'utf8',
      },
    );
    expect(await codes.stepOf(secret, stdout.trim(), at)).toBe(Math.floor(at.getTime() / 30_000));
  });

  it.runIf(has('zbarimg'))('zbarimg reads the picture as the URI', async () => {
    const { uri, qrCode } = await codes.provisioning(await codes.newSecret(), 'ada.lovelace@example.com');
    const folder = mkdtempSync(path.join(tmpdir(), 'latchkey-qr-'));
    try {
      writeFileSync(path.join(folder, 'qr.png'), Buffer.from(qrCode.replace('data:image/png;base64,', ''), 'base64'));
      const { stdout } = spawnSync('zbarimg', ['--raw', '-q', path.join(folder, 'qr.png')], { encoding: 'utf8' });
      expect(stdout.trim()).toBe(uri);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
