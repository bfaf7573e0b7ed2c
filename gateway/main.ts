/** The process: nothing but the command line and the exit code. `bin/selvage.js` finds a Node that can run this. */
import { runCli } from './cli.ts';

const code = await runCli(process.argv.slice(2), {
  directory: process.cwd(),
  environment: process.env,
  stdin: process.stdin,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  process,
});
// Whatever is still open after a stop (a connection to Redis, a timer) must not keep the process.
process.exit(code);
