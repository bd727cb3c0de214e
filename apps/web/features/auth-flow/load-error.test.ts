import { describe, expect, it } from "vitest";
import { loadError } from "@/features/auth-flow/load-error";
import { messages } from "@/lib/messages";
import { doorForEach } from "@/testing/fake-door";

const path = "/.ory/self-service/errors";
const door = doorForEach("csrf_token_x=y");

function kratosSays(error: object) {
  door().answers[path] = { status: 200, body: { id: "e1", error } };
}

describe("the error page", () => {
  it("quotes what Hydra put into the address, and no more than a description's worth", async () => {
    const failure = await loadError({ error: "invalid_request", error_description: "x".repeat(5000) });
    expect(failure).toMatchObject({ title: messages.failure.application.title });
    expect(failure.quote).toBe(`invalid_request: ${"x".repeat(300)}`);
  });

  it.each(["Your account was closed, call 555", "<b>", "A".repeat(10)])(
    "does not repeat %j as a code",
    async (error) => {
      expect(await loadError({ error, error_description: "d" })).toEqual({
        ...messages.failure.nothing,
        action: "home",
      });
    },
  );

  it("quotes the reason that Kratos gives for a refusal", async () => {
    kratosSays({ code: 403, message: "m", reason: "CSRF" });
    expect(await loadError({ id: "e1" })).toMatchObject({ quote: "CSRF", status: 403 });
  });

  it("leads a person whose session is over to the sign-in", async () => {
    kratosSays({ code: 401, reason: "no session" });
    expect(await loadError({ id: "e1" })).toMatchObject({
      action: { startAgain: "https://id.example.com/auth/login" },
    });
  });

  it("keeps the inside of a failure of Kratos' own to the log", async () => {
    kratosSays({ code: 500, message: "pq: relation", reason: "SQL", debug: "stack" });
    const failure = await loadError({ id: "e1" });
    expect(failure).toMatchObject({ status: 500 });
    expect(JSON.stringify(failure)).not.toMatch(/pq|SQL|stack/);
  });

  it("says that Kratos cannot be asked, under the number of that request", async () => {
    door().answers[path] = { status: 503, headers: { "x-request-id": "inner" } };
    expect(await loadError({ id: "e1" })).toMatchObject({ status: 503, requestId: "inner", action: "retry" });
  });

  it.each([{}, { id: "gone" }])("has nothing to explain for %j", async (query) => {
    door().answers[path] = { status: 404 };
    expect(await loadError(query)).toMatchObject({ title: messages.failure.nothing.title });
  });

  it("offers a start to someone who was stopped in a loop", async () => {
    expect(await loadError({ error: "restart_loop" })).toMatchObject({
      action: { startAgain: "https://id.example.com/auth/login" },
    });
  });
});
