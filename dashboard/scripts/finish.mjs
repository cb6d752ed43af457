// After the build: weighs the page, and compresses it once, so that the server never has to.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BUDGET_KIB = 110;
const dist = new URL("../dist/", import.meta.url).pathname;
const manifest = readFileSync(join(dist, "index.html"), "utf8");

const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name));

let before = 0;
let console = 0;
for (const file of files) {
  const bytes = readFileSync(file);
  const zipped = gzipSync(bytes, { level: 9 });
  writeFileSync(`${file}.gz`, zipped);
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  const name = file.slice(dist.length);
  const isConsole = /assets\/(console|editor)/i.test(name) && !manifest.includes(name);
  if (isConsole) console += zipped.length;
  else before += zipped.length;
  process.stdout.write(`${(zipped.length / 1024).toFixed(1).padStart(7)} KiB  ${name}\n`);
}
const kib = before / 1024;
process.stdout.write(`page ${kib.toFixed(1)} KiB gzip of ${BUDGET_KIB}, the SQL console ${(console / 1024).toFixed(1)} more\n`);
if (kib > BUDGET_KIB) {
  process.stderr.write(`the page is larger than its ${BUDGET_KIB} KiB\n`);
  process.exit(1);
}
