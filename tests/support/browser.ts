import { existsSync } from 'node:fs';
import { type Browser, type CDPSession, chromium, type Page } from 'playwright-core';

const PLACES = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** null: there is none, which is said out loud. */
export function findChromium(): string | null {
  const found = PLACES.find((place) => place !== '' && existsSync(place));
  if (found !== undefined) return found;
  const message = 'THERE IS NO CHROMIUM: install it (apt-get install chromium) or set CHROMIUM. The tests in a browser do not run.';
  if (process.env['CI']) throw new Error(message);
  console.warn(`\n${message}\n`);
  return null;
}

export function openChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath });
}

export type Device = {
  page: Page;
  /** navigator.credentials.create, to the answer's JSON. Rejects as the browser does: `NotAllowedError: …`. */
  create(options: object): Promise<object>;
  /** navigator.credentials.get, likewise. */
  get(options: object, mediation?: 'conditional'): Promise<object>;
  /** From now on the sensor knows the finger, or does not. */
  setUserVerified(isUserVerified: boolean): Promise<void>;
  isConditionalMediationAvailable(): Promise<boolean>;
};

/** A browser profile of its own on this page, with an authenticator built in; without a sensor it cannot tell who touches it. */
export async function newDevice(browser: Browser, url: string, { hasSensor = true } = {}): Promise<Device> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  const cdp: CDPSession = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: hasSensor,
      isUserVerified: hasSensor,
      automaticPresenceSimulation: true,
    },
  });
  return {
    page,
    create: (options) => page.evaluate(`(${createInPage})(${JSON.stringify(options)})`),
    get: (options, mediation) => page.evaluate(`(${getInPage})(${JSON.stringify({ options, mediation })})`),
    setUserVerified: async (isUserVerified) => {
      await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
    },
    isConditionalMediationAvailable: () => page.evaluate('PublicKeyCredential.isConditionalMediationAvailable()'),
  };
}

// Text, not functions: their types are the browser's, and ours are Node's.
const createInPage = `async (options) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return (await navigator.credentials.create({ publicKey })).toJSON();
}`;
const getInPage = `async ({ options, mediation }) => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey, mediation })).toJSON();
}`;
