// First step of the npm scripts: with the npm package `node` installed they run on Node 24 whatever the system has. Where
// that package could not be installed they would fail with a syntax error somewhere; this says why instead.
import { explanation, isNewEnough } from './node-version.js';

if (!isNewEnough()) {
  process.stderr.write(explanation);
  process.exit(1);
}
