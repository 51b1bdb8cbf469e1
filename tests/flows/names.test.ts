import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, it } from 'vitest';
import { expectProblem } from '#tests/support/api.ts';
import { newEmail, PASSWORD, verifiedPerson } from '#tests/support/people.ts';
import { startService } from '#tests/support/service.ts';

const service = await startService();
const api = service.api();
afterAll(service.stop);

const INVISIBLE = ['\u200b', ' ', '\u3000', '\ufeff', '\u200d\u200c', '\u00ad', '\u3164', '\u2800', '\ufe0f', '\u200e '];
const TURNED = [...'\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'].map((control) => `Ada ${control}gro.live`);
const NAMES = [
  'Ada',
  'ℵ',
  '7',
  '🦉',
  '👩🏽‍🚀 and 👨‍👩‍👧‍👦',
  '🏴‍☠️',
  'علی‌رضا',
  'مریم\u200f (HR)',
  'דוד בן־גוריון',
  'می‌خواهم',
  'क्‍ष',
  '김민준',
  '李小龙',
  'Zoë O’Neill',
];

describe('a name to be shown', () => {
  it.each(
    [...INVISIBLE, ...TURNED].map((name) => [JSON.stringify(name).replace(/[^ -~]/gu, (c) => `U+${c.codePointAt(0)?.toString(16)}`), name]),
  )('is seen, and turns nothing around: %s is refused for people and for devices', async (_, name) => {
    const person = await api.post('/api/auth/register', { email: newEmail(), password: PASSWORD, display_name: name });
    expectProblem(person, 'invalid-request');
    expect(person.body.errors).toEqual([{ pointer: '/display_name', detail: expect.any(String) }]);
    const device = await api.post('/api/auth/login', { email: newEmail(), password: PASSWORD, device_name: name });
    expectProblem(device, 'invalid-request');
    expect(device.body.errors).toEqual([{ pointer: '/device_name', detail: expect.any(String) }]);
  });

  it('may have joined emoji, and any script with its joiners and marks', async () => {
    const { email } = await verifiedPerson(service);
    for (const name of NAMES) {
      const person = await api.post('/api/auth/register', { email: newEmail(), password: PASSWORD, display_name: name });
      expect(person, name).toMatchObject({ status: 201 });
    }
    const login = await api.post('/api/auth/login', { email, password: PASSWORD, device_name: NAMES[4] });
    expect(login).toMatchObject({ status: 200 });
  });

  it('is told from others by the OpenAPI document alone', () => {
    const document = service.app.swagger() as unknown as {
      paths: Record<string, { post: { requestBody: { content: Record<string, { schema: { properties: Record<string, object> } }> } } }>;
    };
    const body = document.paths['/api/auth/register']?.post.requestBody.content['application/json']?.schema;
    const isName = new Ajv2020({ strict: true, strictTypes: false }).compile({ type: 'string', ...body?.properties['display_name'] });
    for (const name of NAMES) expect(isName(name), name).toBe(true);
    for (const name of [...INVISIBLE, ...TURNED]) expect(isName(name), JSON.stringify(name)).toBe(false);
  });
});
