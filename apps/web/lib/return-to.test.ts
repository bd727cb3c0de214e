import { describe, expect, it } from "vitest";
import { safeReturnTo } from "@/lib/return-to";

const here = "https://id.example.com";

describe("return_to", () => {
  it.each([
    ["/", "https://id.example.com/"],
    ["/auth/consent?consent_challenge=a%2Fb", "https://id.example.com/auth/consent?consent_challenge=a%2Fb"],
    ["https://id.example.com/auth/settings", "https://id.example.com/auth/settings"],
  ])("follows %j, which stays on our origin", (wish, target) => {
    expect(safeReturnTo(wish, here)).toBe(target);
  });

  it.each([
    undefined,
    "",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " https://id.example.com/",
    "https://evil.example/",
    "https://id.example.com.evil.example/",
    "https://id.example.com@evil.example/",
    "https://user:secret@id.example.com/",
    "http://id.example.com/",
    "https://id.example.com:8443/",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "auth/settings",
  ])("ignores %j", (wish) => {
    expect(safeReturnTo(wish, here)).toBeUndefined();
  });
});
