/** Browsers by what they say of themselves, those that claim to be others first. */
const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\b(?:OPR|OPiOS|Opera)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|CriOS|Chromium|HeadlessChrome)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
];

const SYSTEMS: readonly [RegExp, string][] = [
  [/\b(?:iPhone|iPad|iPod)\b/, 'iOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\b(?:Macintosh|Mac OS X)\b/, 'macOS'],
  [/\b(?:Linux|X11)\b/, 'Linux'],
];

/** Programs that are no browsers, by the first word of what they say. */
const PROGRAMS = new Map([
  ['curl', 'curl'],
  ['wget', 'Wget'],
  ['python-requests', 'Python'],
  ['python-httpx', 'Python'],
  ['python', 'Python'],
  ['go-http-client', 'Go'],
  ['java', 'Java'],
  ['apache-httpclient', 'Java'],
  ['okhttp', 'an Android app'],
  ['dart', 'a Flutter app'],
  ['axios', 'Node.js'],
  ['node', 'Node.js'],
  ['undici', 'Node.js'],
  ['postmanruntime', 'Postman'],
]);

/** What the system's own library says behind the name of the app: `Acme/12 CFNetwork/1494.0.7 Darwin/23.4.0`. */
const APPLE_LIBRARY = /\bCFNetwork\b/i;

const OTHER = 'another program';

/**
 * What kind of device speaks, by traits that an update does not change: the browser and the system, without versions. One of a
 * known few, so that it can stand in a mail: nothing of what the client wrote is in it.
 */
export function deviceKind(userAgent: string | null): string {
  if (userAgent === null) return OTHER;
  const browser = BROWSERS.find(([mark]) => mark.test(userAgent))?.[1];
  const system = SYSTEMS.find(([mark]) => mark.test(userAgent))?.[1];
  if (browser !== undefined) return system === undefined ? browser : `${browser} on ${system}`;
  if (APPLE_LIBRARY.test(userAgent)) return 'an iOS app';
  const [word = ''] = /^[A-Za-z-]{1,32}/.exec(userAgent) ?? [];
  return PROGRAMS.get(word.toLowerCase()) ?? OTHER;
}

/** Devices that an account is known by; of more, those longest not seen are forgotten. */
export const MOST_DEVICES = 50;

/** RFC 6265bis 5.5: browsers keep no cookie longer than 400 days. */
export const DEVICE_COOKIE_SECONDS = 400 * 24 * 60 * 60;

/** What to do about a session that turns up on another kind of device than the one that signed in (SESSION_BINDING). */
export const SESSION_BINDINGS = ['off', 'log', 'revoke'] as const;
export type SessionBinding = (typeof SESSION_BINDINGS)[number];
