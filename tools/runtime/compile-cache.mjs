import module from 'node:module';
import { fileURLToPath } from 'node:url';

// Compiled code is kept between starts: a warm start reads no TypeScript, which is faster and needs less memory. Beside the code that
// it is made of, not in a folder for everybody: what lies there is run.
module.enableCompileCache?.(
  process.env.NODE_COMPILE_CACHE ?? fileURLToPath(new URL('../../node_modules/.cache/latchkey', import.meta.url)),
);
