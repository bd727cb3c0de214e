import { describe, expect, it } from "vitest";
import { parseConfig } from "@/lib/config";

describe("configuration", () => {
  it("is two origins, reduced to their bare form", () => {
    const parsed = parseConfig({
      GATEHOUSE_PUBLIC_URL: "https://id.example.com/",
      GATEHOUSE_DOOR_URL: "http://envoy:8080",
    });
    expect(parsed).toEqual({ publicUrl: "https://id.example.com", doorUrl: "http://envoy:8080" });
  });

  it("names every variable that is missing, at once", () => {
    expect(() => parseConfig({})).toThrow(
      /GATEHOUSE_PUBLIC_URL is not set[\s\S]*GATEHOUSE_DOOR_URL is not set/,
    );
  });

  it.each([
    "localhost:8080",
    "ftp://id.example.com",
    "https://id.example.com/app",
    "https://id.example.com/?x",
    "https://user@id.example.com",
    "https://:secret@id.example.com",
    "",
  ])("refuses %j", (value) => {
    expect(() =>
      parseConfig({ GATEHOUSE_PUBLIC_URL: value, GATEHOUSE_DOOR_URL: "http://envoy:8080" }),
    ).toThrow(/GATEHOUSE_PUBLIC_URL/);
  });
});
