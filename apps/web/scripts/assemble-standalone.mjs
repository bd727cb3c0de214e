// Completes .next/standalone: Next leaves out the files that a CDN could serve, and here there is no CDN.

import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";

const copies = [
  [".next/static", ".next/standalone/.next/static"],
  ["public", ".next/standalone/public"],
];

for (const [from, to] of copies) {
  await rm(to, { recursive: true, force: true });
  if (existsSync(from)) {
    await cp(from, to, { recursive: true });
  }
}
