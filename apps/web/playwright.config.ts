import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// The stories run against a stack that is already up, through its door. Nothing is started or mocked here.
const baseURL = process.env.GATEHOUSE_PUBLIC_URL ?? "http://localhost:8080";

// A browser from the system's packages: none is downloaded.
const executablePath =
  process.env.CHROMIUM_PATH ??
  ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
    existsSync(path),
  );
if (!executablePath) {
  throw new Error("No Chromium found: install one (Debian: apt-get install chromium) or set CHROMIUM_PATH.");
}

const quiet = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-sync",
  "--metrics-recording-only",
  "--no-first-run",
  "--no-pings",
];

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  reporter: [["list"]],
  forbidOnly: Boolean(process.env.CI),
  workers: 1,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  use: {
    baseURL,
    trace: "retain-on-failure",
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath,
      // Chromium's own sandbox cannot be set up by root.
      args: process.getuid?.() === 0 ? ["--no-sandbox", ...quiet] : quiet,
    },
  },
});
