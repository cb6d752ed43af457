// After the build: weighs the page, and compresses it once, so that the server never has to.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** What a visitor loads before there is something to see, and all of the page but the SQL console; gzip. */
const FIRST_KIB = 110;
const ALL_KIB = 125;

const dist = new URL("../dist/", import.meta.url).pathname;
const page = readFileSync(join(dist, "index.html"), "utf8");
const sums = { first: 0, later: 0, console: 0 };

for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || /\.(br|gz)$/.test(entry.name)) continue;
  const file = join(entry.parentPath, entry.name);
  const bytes = readFileSync(file);
  const zipped = gzipSync(bytes, { level: 9 });
  writeFileSync(`${file}.gz`, zipped);
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  const name = file.slice(dist.length);
  const when = name === "index.html" || page.includes(name) ? "first" : /assets\/(Console|Editor)/.test(name) ? "console" : "later";
  sums[when] += zipped.length / 1024;
  process.stdout.write(`${(zipped.length / 1024).toFixed(1).padStart(7)} KiB  ${when.padEnd(8)} ${name}\n`);
}
const all = sums.first + sums.later;
process.stdout.write(
  `gzip: first view ${sums.first.toFixed(1)} KiB of ${FIRST_KIB}, without the console ${all.toFixed(1)} of ${ALL_KIB}, ` +
  `console ${sums.console.toFixed(1)} more\n`,
);
if (sums.first > FIRST_KIB || all > ALL_KIB) {
  process.stderr.write("the page is larger than its budget (dashboard/scripts/finish.mjs)\n");
  process.exit(1);
}
