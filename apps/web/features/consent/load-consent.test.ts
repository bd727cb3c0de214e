import { describe, expect, it } from "vitest";
import { loadConsent } from "@/features/consent/load-consent";
import { Redirected } from "@/testing/browser";
import { doorForEach, problem } from "@/testing/fake-door";

const path = "/api/oauth2/consent";

const door = doorForEach("ory_kratos_session=c");

describe("an application's request", () => {
  it("is what the API says of its challenge", async () => {
    const request = { client: { id: "c", name: "Demo" }, requested_scopes: ["openid"], csrf_token: "t" };
    door().answers[path] = { status: 200, body: request };
    expect(await loadConsent("a b&c")).toEqual({ request });
    expect(door().seen[0]?.url).toBe(`${path}?consent_challenge=a+b%26c`);
  });

  it("waits for a stranger to sign in, and is found again afterwards", async () => {
    door().answers[path] = problem(401, "unauthenticated");
    door().answers["/.ory/sessions/whoami"] = { status: 401 };
    const back = encodeURIComponent("https://id.example.com/auth/consent?consent_challenge=ch");
    await expect(loadConsent("ch")).rejects.toEqual(
      new Redirected(`https://id.example.com/auth/login?return_to=${back}`),
    );
  });

  it("waits for the second factor of a person who has one, also where the gate calls them nobody", async () => {
    door().answers[path] = problem(401, "unauthenticated");
    door().answers["/.ory/sessions/whoami"] = { status: 403 };
    await expect(loadConsent("ch")).rejects.toMatchObject({ to: expect.stringMatching(/aal=aal2$/) });
  });

  it("does not send round a person whom Kratos knows and the door does not", async () => {
    door().answers[path] = problem(401, "unauthenticated");
    door().answers["/.ory/sessions/whoami"] = { status: 200, body: { id: "s", active: true } };
    expect(await loadConsent("ch")).toMatchObject({ failure: { status: 401, action: "retry" } });
  });

  it.each([
    [problem(404, "not_found"), 404, "home"],
    [problem(409, "conflict"), 409, "home"],
    [problem(403, "forbidden"), 403, "home"],
    [problem(403, "account_disabled"), 403, "sign-out"],
    [problem(503, "unavailable"), 503, "retry"],
    [{ status: 200, body: {} }, 200, "retry"],
  ])("that cannot be answered is explained (%j)", async (answer, status, action) => {
    door().answers[path] = answer;
    expect(await loadConsent("ch")).toMatchObject({ failure: { status, action } });
  });
});
