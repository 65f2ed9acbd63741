/**
 * Is loaded into each process with `NODE_OPTIONS=--import`: notes when a socket of the process reads or writes something of a call,
 * and appends that to the file that `HOP_TIMES` names. A line is `<ms> <script> <in|out> <remote port> <ids>`. An id is that of a
 * message, or the number of a call in its payload, as `"n":7`.
 */
import { appendFileSync } from 'node:fs';
import { Socket } from 'node:net';

const IDS = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|"n":\d+/g;
/** Larger ones are not of single calls, and would take long to search. */
const MOST_BYTES = 65_536;
const SAVE_EVERY_MS = 500;

const file = process.env.HOP_TIMES;
const script = /([a-z-]+)\/src\/main\.js$|([a-z-]+)\.mjs$/.exec(process.argv[1] ?? '');
/** @type {string[]} */
let lines = [];

function note(/** @type {Socket} */ socket, /** @type {string} */ way, /** @type {unknown} */ chunk) {
  const at = performance.timeOrigin + performance.now();
  const text = Buffer.isBuffer(chunk) ? chunk.toString('latin1') : String(chunk);
  if (text.length > MOST_BYTES) return;
  const ids = new Set(text.match(IDS));
  if (ids.size > 0)
    lines.push(`${at} ${script?.[1] ?? script?.[2]} ${way} ${socket.remotePort} ${[...ids].join(' ')}\n`);
}

function save() {
  if (file !== undefined && lines.length > 0) appendFileSync(file, lines.join(''));
  lines = [];
}

if (file !== undefined && script !== null) {
  /** @type {any} */
  const prototype = Socket.prototype;
  const { push, _write, _writev } = prototype;
  Object.assign(prototype, {
    push(/** @type {unknown} */ chunk, /** @type {unknown} */ encoding) {
      if (chunk !== null) note(/** @type {any} */ (this), 'in', chunk);
      return push.call(this, chunk, encoding);
    },
    _write(/** @type {unknown} */ chunk, /** @type {unknown} */ encoding, /** @type {unknown} */ done) {
      note(/** @type {any} */ (this), 'out', chunk);
      return _write.call(this, chunk, encoding, done);
    },
    _writev(/** @type {{ chunk: unknown }[]} */ chunks, /** @type {unknown} */ done) {
      note(/** @type {any} */ (this), 'out', chunks.map(({ chunk }) => String(chunk)).join(''));
      return _writev.call(this, chunks, done);
    },
  });
  setInterval(save, SAVE_EVERY_MS).unref();
  process.on('exit', save);
}
