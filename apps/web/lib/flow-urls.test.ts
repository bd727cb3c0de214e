import { describe, expect, it } from "vitest";
import { initUrl, isFlowKind, pageUrl, restartUrl, resumeUrl } from "@/lib/flow-urls";

const here = "https://id.example.com";

describe("where a flow begins", () => {
  it("is absolute, at the door", () => {
    expect(initUrl(here, "settings")).toBe("https://id.example.com/.ory/self-service/settings/browser");
  });

  it("passes on what a login may be started with", () => {
    const url = new URL(
      initUrl(here, "login", { return_to: "/", login_challenge: "c h", aal: "aal2", refresh: "true" }),
    );
    expect(Object.fromEntries(url.searchParams)).toEqual({
      return_to: "https://id.example.com/",
      login_challenge: "c h",
      aal: "aal2",
      refresh: "true",
    });
  });

  it("keeps back a foreign return_to, values that mean nothing and parameters that nobody asked for", () => {
    const query = { return_to: "//evil.example", aal: "aal9", refresh: "1", id_token: "x", flow: "f" };
    expect(initUrl(here, "login", query)).toBe("https://id.example.com/.ory/self-service/login/browser");
  });

  it("takes the first of a repeated parameter", () => {
    const url = new URL(initUrl(here, "login", { return_to: ["/a", "https://evil.example"] }));
    expect(url.searchParams.getAll("return_to")).toEqual(["https://id.example.com/a"]);
  });

  it("gives a challenge only to the flows that can answer one", () => {
    expect(initUrl(here, "registration", { login_challenge: "c" })).toContain("login_challenge=c");
    expect(initUrl(here, "recovery", { login_challenge: "c" })).not.toContain("login_challenge");
  });
});

describe("our own addresses of a flow", () => {
  it("carry the same parameters", () => {
    expect(pageUrl(here, "login", { aal: "aal2", return_to: "/" })).toBe(
      "https://id.example.com/auth/login?return_to=https%3A%2F%2Fid.example.com%2F&aal=aal2",
    );
    expect(restartUrl(here, "recovery")).toBe("https://id.example.com/auth/restart/recovery");
    expect(resumeUrl(here, "settings", "a&b")).toBe("https://id.example.com/auth/settings?flow=a%26b");
  });

  it("exist for flows only", () => {
    expect(isFlowKind("login")).toBe(true);
    expect(isFlowKind("logout")).toBe(false);
    expect(isFlowKind("__proto__")).toBe(false);
  });
});
