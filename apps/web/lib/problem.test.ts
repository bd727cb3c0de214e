import { describe, expect, it } from "vitest";
import { readProblem } from "@/lib/problem";

describe("a refusal", () => {
  it("is read as the problem that it carries", async () => {
    const body = { title: "Unavailable", status: 503, code: "unavailable", request_id: "r1", extra: true };
    const problem = await readProblem(new Response(JSON.stringify(body), { status: 503 }));
    expect(problem).toEqual({ title: "Unavailable", status: 503, code: "unavailable", request_id: "r1" });
  });

  it.each(["", "<html>", "{}", '{"code":7}'])("that says %j is known by its status alone", async (body) => {
    const response = new Response(body, {
      status: 502,
      statusText: "Bad Gateway",
      headers: { "x-request-id": "r2" },
    });
    expect(await readProblem(response)).toEqual({
      title: "Bad Gateway",
      status: 502,
      code: "unknown",
      request_id: "r2",
    });
  });
});
