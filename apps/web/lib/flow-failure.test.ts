import { describe, expect, it } from "vitest";
import { classifyFlowFailure, countRestart } from "@/lib/flow-failure";

describe("a flow that cannot be had", () => {
  it.each([403, 404, 410])("with status %i begins again", (status) => {
    expect(classifyFlowFailure(status, { error: { id: "x" } })).toMatchObject({ kind: "restart" });
  });

  it("that expired remembers where it was to return to", () => {
    const body = { error: { id: "self_service_flow_expired", details: { return_to: "/auth/settings" } } };
    expect(classifyFlowFailure(410, body)).toEqual({ kind: "restart", returnTo: "/auth/settings" });
  });

  it("that was replaced goes on with its successor", () => {
    expect(classifyFlowFailure(410, { error: { id: "x" }, use_flow_id: "f2" })).toEqual({
      kind: "resume",
      flowId: "f2",
    });
  });

  it("without a session leads to the sign-in", () => {
    expect(classifyFlowFailure(401, undefined)).toEqual({ kind: "sign-in" });
  });

  it("for want of a second factor leads to that", () => {
    expect(classifyFlowFailure(403, { error: { id: "session_aal2_required" } })).toEqual({ kind: "step-up" });
  });

  it.each([0, 400, 429, 500, 502, 503, 504])("with status %i is said, and sends nobody round", (status) => {
    expect(classifyFlowFailure(status, "not json")).toEqual({ kind: "unavailable", status });
  });
});

describe("restarts in a row", () => {
  it("are allowed a few times and then stopped", () => {
    expect([undefined, "1", "2", "3"].map(countRestart)).toEqual([1, 2, 3, undefined]);
  });

  it.each(["", "x", "-5", "NaN"])("are counted from the start after a cookie that says %j", (value) => {
    expect(countRestart(value)).toBe(1);
  });
});
