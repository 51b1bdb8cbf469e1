import './compile-cache.mjs';

// `npm ci` compiles the service: the first start then is as quick, and as small, as the later ones.
process.env.LATCHKEY_COMPILES = 'yes'; // nothing is started
try {
  for (const file of ['main.ts', 'start.ts', 'ssm-settings.ts']) await import(new URL(`../../src/${file}`, import.meta.url).href);
} catch {
  // What cannot be loaded here, as by an older Node, cannot be started either, and that says why.
}
