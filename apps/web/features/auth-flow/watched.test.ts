import { describe, expect, it } from "vitest";
import { troubleWith } from "@/features/auth-flow/watched";

describe("an answer to a form", () => {
  it.each([200, 400, 403, 404, 410, 422])("with status %i is left to Ory's components", (status) => {
    expect(troubleWith(new Response(null, { status }))).toBeUndefined();
  });

  it.each([429, 500, 502, 503])("with status %i is said, with the request to ask about", (status) => {
    const response = new Response(null, { status, headers: { "x-request-id": "r1" } });
    expect(troubleWith(response)).toMatchObject({ text: expect.any(String), requestId: "r1" });
  });
});
