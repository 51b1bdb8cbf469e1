import './compile-cache.mjs';

// Node below 24.16 cannot run TypeScript sources nor make UUIDv7: say so instead of dying on a file extension.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 16)) {
  console.error(
    `Latchkey needs Node 24.16 or newer; this is ${process.versions.node}.\n` +
      'Run "npm ci", which brings a Node 24 on Linux x64, and then "npm start"; or install Node 24 from https://nodejs.org.',
  );
  process.exit(1);
}
