import { vi } from "vitest";

/** The request that a page is being made for: what next/headers would show it. Set by each test. */
export const browser = { headers: new Headers() };

/** Thrown in place of Next's redirect, so that a test can say where it led. */
export class Redirected extends Error {
  constructor(readonly to: string) {
    super(`redirected to ${to}`);
  }
}

vi.mock("next/headers", () => ({
  headers: async () => browser.headers,
  cookies: async () => {
    const pairs = browser.headers.get("cookie")?.split(/; */) ?? [];
    return new Map(pairs.map((pair) => [pair.split("=")[0], pair]));
  },
}));

vi.mock("next/navigation", () => ({
  redirect: (to: string) => {
    throw new Redirected(to);
  },
}));

vi.mock("@/lib/config", async (original) => ({
  ...(await original<typeof import("@/lib/config")>()),
  config: () => ({ publicUrl: "https://id.example.com", doorUrl: browserDoor.url }),
}));

/** Where the fake door of this test listens. */
export const browserDoor = { url: "http://127.0.0.1:1" };
