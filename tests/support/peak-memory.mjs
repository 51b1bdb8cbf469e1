import { readFileSync } from 'node:fs';

/**
 * Says at the end of a process how many KiB of memory it held at most. On Linux that is VmHWM: `ru_maxrss` begins there with what the
 * parent held, since exec keeps it, and a parent that runs tests may hold more than what it starts.
 */
process.on('exit', () => {
  const isLinux = process.platform === 'linux';
  const kib = isLinux ? /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] : process.resourceUsage().maxRSS;
  process.stderr.write(`\npeak=${kib}\n`);
});
