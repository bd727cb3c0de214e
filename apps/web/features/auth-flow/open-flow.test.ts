import { describe, expect, it } from "vitest";
import { openFlow } from "@/features/auth-flow/open-flow";
import { browser, Redirected } from "@/testing/browser";
import { doorForEach } from "@/testing/fake-door";

const path = "/.ory/self-service/login/flows";
const here = "https://id.example.com";

const door = doorForEach("csrf_token_x=y");

describe("the page of a flow", () => {
  it("begins one at Kratos when it has none", async () => {
    await expect(openFlow("login", { login_challenge: "c" })).rejects.toEqual(
      new Redirected(`${here}/.ory/self-service/login/browser?login_challenge=c`),
    );
    expect(door().seen).toEqual([]);
  });

  it("shows the one it was given, asked for with the browser's cookie", async () => {
    door().answers[path] = {
      status: 200,
      body: { id: "f1", type: "browser", ui: { action: "a", method: "POST", nodes: [] } },
    };
    expect(await openFlow("login", { flow: "f1" })).toMatchObject({ flow: { id: "f1" } });
    expect(door().seen[0]?.url).toBe(`${path}?id=f1`);
    expect(door().seen[0]?.headers.cookie).toBe("csrf_token_x=y");
  });

  it.each([403, 404, 410])("begins again after %i", async (status) => {
    door().answers[path] = { status, body: { error: { id: "x", details: { return_to: "/auth/settings" } } } };
    await expect(openFlow("login", { flow: "f1" })).rejects.toMatchObject({
      to: expect.stringContaining(`${here}/auth/restart/login`),
    });
  });

  it("never carries a foreign return_to into a restart", async () => {
    door().answers[path] = {
      status: 410,
      body: { error: { details: { return_to: "https://evil.example/" } } },
    };
    await expect(openFlow("login", { flow: "f1" })).rejects.toEqual(
      new Redirected(`${here}/auth/restart/login`),
    );
  });

  it("asks before beginning again in a browser that shows no cookie, because it could not count", async () => {
    browser.headers = new Headers();
    door().answers[path] = { status: 403, body: { error: { id: "security_csrf_violation" } } };
    expect(await openFlow("login", { flow: "f1" })).toMatchObject({
      failure: { action: { startAgain: `${here}/auth/login` } },
    });
  });

  it("says so when Kratos is down, and sends nobody anywhere", async () => {
    door().answers[path] = { status: 503 };
    expect(await openFlow("login", { flow: "f1" })).toMatchObject({
      failure: { status: 503, action: "retry" },
    });
    await door().close();
    expect(await openFlow("login", { flow: "f1" })).toMatchObject({
      failure: { status: 0, action: "retry" },
    });
  });

  it("of settings leads through the sign-in and back", async () => {
    door().answers["/.ory/self-service/settings/flows"] = { status: 401 };
    await expect(openFlow("settings", { flow: "f1" })).rejects.toEqual(
      new Redirected(`${here}/auth/login?return_to=${encodeURIComponent(`${here}/auth/settings`)}`),
    );
  });
});
