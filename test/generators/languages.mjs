/** The clients that other people generate from docs/openapi.json. */
import { prepareGo } from './go.mjs';
import { preparePython } from './python.mjs';
import { prepareTypeScript } from './typescript.mjs';

/**
 * Generates a client into `dir`, and compiles it with the program in the folder of its language.
 * @callback Prepare
 * @param {string} dir
 * @returns {Driver | string} the program, or why it cannot be made here
 */

/** @typedef {{ command: [string, ...string[]], cwd: string }} Driver gets the address of the gateway and the id of a client */

/** @satisfies {Record<string, Prepare>} */
export const LANGUAGES = { typescript: prepareTypeScript, python: preparePython, go: prepareGo };
