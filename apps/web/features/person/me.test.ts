import { describe, expect, it } from "vitest";
import { whoIsHere } from "@/features/person/me";
import { browser, Redirected } from "@/testing/browser";
import { doorForEach, problem } from "@/testing/fake-door";

const aal1 = { status: 403, body: { error: { id: "session_aal2_required" } } };
const active = { status: 200, body: { id: "s", active: true } };

const door = doorForEach("ory_kratos_session=c");

describe("who is here", () => {
  it("is the person that the API names", async () => {
    door().answers["/api/me"] = {
      status: 200,
      body: { type: "user", id: "u1", email: "ada@example.com", name: "Ada" },
    };
    expect(await whoIsHere("/")).toEqual({
      kind: "person",
      person: { type: "user", id: "u1", email: "ada@example.com", name: "Ada" },
    });
  });

  it("is asked with the browser's cookie and trace, and with nothing else of the browser's", async () => {
    browser.headers = new Headers({
      cookie: "ory_kratos_session=c",
      "x-request-id": "9d81dd6d-9871-4afc-8ec7-f8ee571454f2",
      traceparent: "00-1-2-01",
      authorization: "Bearer forged",
      "x-user-id": "forged",
    });
    door().answers["/api/me"] = problem(401, "unauthenticated");
    await whoIsHere("/");
    expect(door().seen[0]?.headers).toMatchObject({
      cookie: "ory_kratos_session=c",
      traceparent: "00-1-2-01",
    });
    expect(door().seen[0]?.headers).not.toHaveProperty("authorization");
    expect(door().seen[0]?.headers).not.toHaveProperty("x-user-id");
  });

  it("is asked within a trace that bears the id of the page's request, when none had begun", async () => {
    browser.headers = new Headers({ "x-request-id": "9d81dd6d-9871-4afc-8ec7-f8ee571454f2" });
    door().answers["/api/me"] = problem(401, "unauthenticated");
    await whoIsHere("/");
    expect(door().seen[0]?.headers.traceparent).toMatch(
      /^00-9d81dd6d98714afc8ec7f8ee571454f2-[0-9a-f]{16}-00$/,
    );
  });

  it("is a stranger without a session's cookie, and Kratos is not asked", async () => {
    browser.headers = new Headers({ cookie: "csrf_token_x=y" });
    door().answers["/api/me"] = problem(401, "unauthenticated");
    expect(await whoIsHere("/")).toEqual({ kind: "stranger" });
    expect(door().seen).toHaveLength(1);
  });

  it.each([problem(401, "unauthenticated"), problem(403, "step_up_required")])(
    "is a stranger when Kratos knows of no session either (%j)",
    async (answer) => {
      door().answers["/api/me"] = answer;
      door().answers["/.ory/sessions/whoami"] = { status: 401 };
      expect(await whoIsHere("/")).toEqual({ kind: "stranger" });
    },
  );

  it("is not taken for a stranger while Kratos cannot be asked", async () => {
    door().answers["/api/me"] = problem(401, "unauthenticated");
    door().answers["/.ory/sessions/whoami"] = { status: 503, headers: { "x-request-id": "inner" } };
    expect(await whoIsHere("/")).toMatchObject({
      kind: "failure",
      failure: { status: 503, requestId: "inner" },
    });
  });

  it.each([problem(401, "unauthenticated"), problem(403, "step_up_required")])(
    "is sent to the second factor when that is missing, however the gate says it (%j)",
    async (answer) => {
      door().answers["/api/me"] = answer;
      door().answers["/.ory/sessions/whoami"] = aal1;
      await expect(whoIsHere("/")).rejects.toEqual(
        new Redirected(
          "https://id.example.com/auth/login?return_to=https%3A%2F%2Fid.example.com%2F&aal=aal2",
        ),
      );
    },
  );

  it("is not sent round when Kratos has the second factor and the door does not know yet", async () => {
    door().answers["/api/me"] = problem(403, "step_up_required");
    door().answers["/.ory/sessions/whoami"] = active;
    expect(await whoIsHere("/")).toMatchObject({
      kind: "failure",
      failure: { status: 403, action: "retry" },
    });
  });

  it.each([
    ["an outage", problem(503, "unavailable"), 503],
    ["a refusal without words", { status: 502 }, 502],
    ["a disabled account", problem(403, "account_disabled"), 403],
    ["an answer that is nobody", { status: 200, body: { type: "client", id: "c" } }, 200],
    ["a redirect, which is not followed", { status: 302, headers: { location: "http://127.0.0.1:1/" } }, 302],
  ])("is unknown after %s, and the page can say so", async (_name, answer, status) => {
    door().answers["/api/me"] = answer;
    expect(await whoIsHere("/")).toMatchObject({ kind: "failure", failure: { status } });
  });

  it("is unknown when nobody answers", async () => {
    await door().close();
    expect(await whoIsHere("/")).toMatchObject({ kind: "failure", failure: { status: 0 } });
  });
});
