#!/usr/bin/env node
// Finds a Node that can run the gateway: this one, or the one that the npm package `node` brings.
import { spawn } from 'child_process';
import { existsSync } from 'fs';
import { createRequire } from 'module';
import { dirname, join } from 'path';
import { fileURLToPath, pathToFileURL } from 'url';
import { explanation, isNewEnough } from './node-version.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
// The package has the build only, because Node strips no types inside node_modules. A checkout has sources, beside
// which a build may be old.
const sources = join(root, 'gateway', 'main.ts');
const main = existsSync(sources) ? sources : join(root, 'dist', 'gateway', 'main.js');

if (isNewEnough()) {
  import(pathToFileURL(main).href);
} else {
  const node = findNode();
  if (node === undefined) {
    process.stderr.write(explanation);
    process.exit(1);
  }
  runWith(node);
}

function findNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json');
    const file = join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return existsSync(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

function runWith(node) {
  const child = spawn(node, [main].concat(process.argv.slice(2)), { stdio: 'inherit' });
  ['SIGTERM', 'SIGINT', 'SIGHUP'].forEach((signal) => {
    process.on(signal, () => {
      child.kill(signal);
    });
  });
  child.on('error', (error) => {
    process.stderr.write('Node ' + node + ' cannot be started: ' + error.message + '\n');
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    // As a shell reports it: 128 and the number of the signal.
    const numbers = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };
    process.exit(code === null ? 128 + (numbers[signal] || 0) : code);
  });
}
