// Runs on any Node since 12.17: only syntax and modules of that time, as in everything in this folder.

/** The first Node that runs TypeScript sources as they are, and that all libraries support. */
const minimumMajor = 24;

/**
 * @param {string} [version]
 * @returns {boolean}
 */
export function isNewEnough(version = process.versions.node) {
  return Number(version.split('.')[0]) >= minimumMajor;
}

/** @type {string} */
export const explanation =
  'Selvage needs Node ' +
  minimumMajor +
  ' or later, and this is Node ' +
  process.versions.node +
  '.\n' +
  'Either install that version of Node, or let the npm package `node` bring it: install again with its install script\n' +
  'allowed, that is without --ignore-scripts, and with npm 12 or later after `npm install-scripts approve node`.\n';
