import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { whoIsHere } from "@/features/person/me";
import { browser, browserDoor, Redirected } from "@/testing/browser";
import { FakeDoor } from "@/testing/fake-door";

const aal1 = { status: 403, body: { error: { id: "session_aal2_required" } } };
const active = { status: 200, body: { id: "s", active: true } };

function problem(status: number, code: string) {
  return { status, body: { title: code, status, code } };
}

let door: FakeDoor;

beforeEach(async () => {
  door = await FakeDoor.open();
  browserDoor.url = door.url;
  browser.headers = new Headers({ cookie: "ory_kratos_session=c" });
});

afterEach(() => door.close());

describe("who is here", () => {
  it("is the person that the API names", async () => {
    door.answers["/api/me"] = {
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
      "x-request-id": "r1",
      traceparent: "00-1-2-01",
      authorization: "Bearer forged",
      "x-user-id": "forged",
    });
    door.answers["/api/me"] = problem(401, "unauthenticated");
    await whoIsHere("/");
    expect(door.seen[0]?.headers).toMatchObject({
      cookie: "ory_kratos_session=c",
      "x-request-id": "r1",
      traceparent: "00-1-2-01",
    });
    expect(door.seen[0]?.headers).not.toHaveProperty("authorization");
    expect(door.seen[0]?.headers).not.toHaveProperty("x-user-id");
  });

  it("is a stranger when the API knows nobody", async () => {
    door.answers["/api/me"] = problem(401, "unauthenticated");
    expect(await whoIsHere("/")).toEqual({ kind: "stranger" });
  });

  it("is sent to the second factor when that is missing", async () => {
    door.answers["/api/me"] = problem(403, "step_up_required");
    door.answers["/.ory/sessions/whoami"] = aal1;
    await expect(whoIsHere("/")).rejects.toEqual(
      new Redirected("https://id.example.com/auth/login?return_to=https%3A%2F%2Fid.example.com%2F&aal=aal2"),
    );
  });

  it("is not sent round when Kratos has the second factor and the door does not know yet", async () => {
    door.answers["/api/me"] = problem(403, "step_up_required");
    door.answers["/.ory/sessions/whoami"] = active;
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
    door.answers["/api/me"] = answer;
    expect(await whoIsHere("/")).toMatchObject({ kind: "failure", failure: { status } });
  });

  it("is unknown when nobody answers", async () => {
    await door.close();
    expect(await whoIsHere("/")).toMatchObject({ kind: "failure", failure: { status: 0 } });
  });
});
